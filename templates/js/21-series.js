// A plane's specification -> what each panel draws: columns, and the pieces of rows that are lines.
// The grammar is in reports/charts/plane.py; reports/flat.py does the same for the stills.

const PLANES = report.charts.filter(({ kind }) => kind === 'plane');
const planeOptions = (chart) => ({ ...state.options[chart.key], axis: state.x });
const choicesOf = (chart) => (chart.kind === 'scene' ? optionsOf(chart) : planeOptions(chart));

// What was worked out of a table, by what it is; worked out anew when what it depends on changes.
const workings = new WeakMap();
function worked(table, key, depends, make) {
  if (!workings.has(table)) workings.set(table, new Map());
  const known = workings.get(table);
  if (known.get(key)?.depends !== depends) known.set(key, { depends, value: make() });
  return known.get(key).value;
}

// A table holds several metrics, each at steps of its own: the rows that have both x and y, with the
// pieces of them that are lines. A value that is infinite was measured and is none to draw: there a
// line ends. Rows of one line stand together in a table; without lines each run is one.
const measuredRows = (table, x, y) =>
  worked(table, `${x} ${y}`, '', () => {
    const [xs, ys, lines] = [table[x], table[y], table.line || table.run];
    const rows = [];
    const pieces = [];
    const without = new Set();
    let last = NaN; // the line that a row may go on
    for (let row = 0; row < lines.length; row++) {
      if (Number.isNaN(ys[row])) continue;
      if (!Number.isFinite(ys[row]) || !Number.isFinite(xs[row])) {
        if (Number.isFinite(ys[row])) without.add(table.run[row]);
        last = NaN;
        continue;
      }
      if (lines[row] !== last) pieces.push({ run: table.run[row], from: rows.length, to: rows.length });
      rows.push(row);
      pieces[pieces.length - 1].to = rows.length;
      last = lines[row];
    }
    const of = (values) => Float64Array.from(rows, (row) => values[row]);
    return { xs: of(xs), ys: of(ys), rows, pieces, without };
  });

const columnOf = (reference, options) => resolved(reference, options).$;
const inStage = ({ stage }, run) => stage === undefined || report.runs.stage[run] === stage;

function seriesOf(chart, panel, options) {
  const traces = chart.traces.filter((trace) => trace.panel === panel.key);
  const along = Boolean(resolved(chart.layout.logged, options)); // the steps, and not the machine's clock
  return traces.map((trace) => {
    const table = tables[resolved(trace.table, options)];
    const measured = measuredRows(table, columnOf(trace.plotly.x, options), columnOf(trace.plotly.y, options));
    const pieces = measured.pieces.filter(({ run }) => run < 0 || inStage(trace, run));
    const without = [...measured.without].filter((run) => inStage(trace, run));
    const smooth = resolved(trace.smooth, options);
    const one = { ...measured, trace, table, measured, pieces, without, along, smooth, marks: trace.plotly.mode === 'markers' };
    return trace.rows === 'frontier' ? frontierOf(one) : one;
  });
}

// A line of no run, such as a fitted one, is always shown.
const isShown = (run) => run < 0 || shown[run] === 1;

// Of the shown runs those that no run further left lies below; one that diverged is none of them.
function frontierOf(one) {
  const { xs, ys } = one;
  const places = [];
  for (const { run, from, to } of one.pieces) {
    if (!isShown(run) || report.runs.diverged[run] !== null) continue;
    for (let at = from; at < to; at++) places.push(at);
  }
  places.sort((a, b) => xs[a] - xs[b] || ys[a] - ys[b]);
  let least = Infinity;
  const front = [];
  for (const at of places) {
    if (ys[at] < least) front.push(at);
    least = Math.min(least, ys[at]);
  }
  const of = (values) => Float64Array.from(front, (at) => values[at]);
  const runs = new Set(front.map((at) => one.table.run[one.rows[at]]));
  return { ...one, xs: of(xs), ys: of(ys), runs, pieces: front.length ? [{ run: -1, from: 0, to: front.length }] : [] };
}

// What is drawn of the shown runs, and why some of it is not.
function extentOf(series, types) {
  const found = { x: [Infinity, -Infinity], y: [Infinity, -Infinity], low: 0, astray: [], points: 0, without: [], runs: new Set() };
  const data = series.filter(({ trace }) => trace.role === 'data');
  const all = data.flatMap((one) => one.pieces.filter(({ run }) => shown[run]).map((piece) => ({ ...one, ...piece })));
  const steady = ({ run }) => report.runs.diverged[run] === null;
  const any = all.some(steady); // a run that went astray would press all others flat
  for (const piece of all) measure(found, piece, types, !any || steady(piece));
  found.without = data.flatMap(({ without }) => without).filter((run) => shown[run] && !found.runs.has(run));
  return found;
}

function measure(found, { run, from, to, xs, ys }, types, widens) {
  const positive = { x: types.x === 'log', y: types.y === 'log' };
  for (let row = from; row < to; row++) {
    const [x, y] = [xs[row], ys[row]];
    if ((positive.x && x <= 0) || (positive.y && y <= 0)) {
      found.low += 1;
      continue;
    }
    found.points += 1;
    found.runs.add(run);
    if (!widens) found.astray.push(y);
    if (x < found.x[0]) found.x[0] = x;
    if (x > found.x[1]) found.x[1] = x;
    if (widens && y < found.y[0]) found.y[0] = y;
    if (widens && y > found.y[1]) found.y[1] = y;
  }
}

// A mean that fades away on both sides, so that it neither lags nor leads, of running medians: what
// was thinned has kept its extremes, and a mean of them alone would lean to them. It fades over the
// axis and not over the points, which may lie thick here and thin there.
const MEASURE = 500; // of the axis's whole length: at 0.6 a logged line reads as one
const MEDIAN_OF = 5; // points

function smoothed({ xs, ys, measured, pieces }, [low, high]) {
  const strength = Math.min(Math.sqrt(state.smooth), 0.999);
  const faded = (distance) => strength ** ((Math.abs(distance) / (high - low || 1)) * MEASURE);
  const middle = worked(measured, 'medians', '', () => medians(ys, measured.pieces));
  const first = pieces.length ? pieces[0].from : 0; // panels that show other stages have other ranges
  return worked(measured, `smooth from ${first}`, [state.smooth, low, high].join(), () => {
    const out = new Float64Array(ys.length).fill(NaN);
    for (const { from, to } of pieces) {
      const ahead = fadedSums(xs, middle, { first: from, end: to, step: 1, faded });
      const back = fadedSums(xs, middle, { first: to - 1, end: from - 1, step: -1, faded });
      for (let row = from, i = 0, k = to - from - 1; row < to; row++, i++, k--) {
        out[row] = (ahead.sums[i] + back.sums[k] - middle[row]) / (ahead.weights[i] + back.weights[k] - 1); // its own came twice
      }
    }
    return out;
  });
}

function medians(values, pieces) {
  const reach = MEDIAN_OF >> 1;
  const out = new Float64Array(values.length);
  for (const { from, to } of pieces) {
    for (let row = from; row < to; row++) {
      const near = values.slice(Math.max(from, row - reach), Math.min(to, row + reach + 1)).sort();
      const half = near.length >> 1;
      out[row] = near.length % 2 ? near[half] : (near[half - 1] + near[half]) / 2;
    }
  }
  return out;
}

// In the order of the walk: at each row the faded sum of those before it, itself included.
function fadedSums(xs, values, { first, end, step, faded }) {
  const sums = [];
  const weights = [];
  let [sum, weight] = [0, 0];
  for (let row = first; row !== end; row += step) {
    const share = row === first ? 1 : faded(xs[row] - xs[row - step]);
    sum = sum * share + values[row];
    weight = weight * share + 1;
    sums.push(sum);
    weights.push(weight);
  }
  return { sums, weights };
}
