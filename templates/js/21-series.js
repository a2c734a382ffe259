// A plane's specification -> what each panel draws: columns, and the pieces of rows that are lines.
// The grammar is in reports/charts/plane.py; reports/flat.py does the same for the stills.

const PLANES = report.charts.filter(({ kind }) => kind === 'plane');
const planeOptions = (chart) => ({ ...state.options[chart.key], axis: state.x });

// What was worked out of a table, by what it is; worked out anew when what it depends on changes.
const workings = new WeakMap();
function worked(table, key, depends, make) {
  if (!workings.has(table)) workings.set(table, new Map());
  const known = workings.get(table);
  if (known.get(key)?.depends !== depends) known.set(key, { depends, value: make() });
  return known.get(key).value;
}

// Rows of one line stand together; a line belongs to one run.
const piecesOf = (table) =>
  worked(table, 'pieces', '', () => {
    const lines = table.line || table.run;
    const pieces = [];
    for (let row = 0; row < lines.length; row++) {
      if (row === 0 || lines[row] !== lines[row - 1]) pieces.push({ run: table.run[row], from: row, to: row + 1 });
      else pieces[pieces.length - 1].to = row + 1;
    }
    return pieces;
  });

const columnOf = (reference, options) => resolved(reference, options).$;
const inStage = ({ stage }, run) => stage === undefined || report.runs.stage[run] === stage;

function seriesOf(chart, panel, options) {
  const traces = chart.traces.filter((trace) => trace.panel === panel.key);
  return traces.map((trace) => {
    const table = tables[resolved(trace.table, options)];
    const [x, y] = [columnOf(trace.plotly.x, options), columnOf(trace.plotly.y, options)];
    const pieces = piecesOf(table).filter(({ run }) => run < 0 || inStage(trace, run));
    const marks = trace.plotly.mode === 'markers';
    const one = { trace, table, xs: table[x], ys: table[y], names: [x, y], pieces, marks };
    return trace.rows === 'frontier' ? frontierOf(one) : one;
  });
}

// A line of no run, such as a fitted one, is always shown.
const isShown = (run) => run < 0 || shown[run] === 1;

// Of the shown runs those that no run further left lies below.
function frontierOf(one) {
  const { xs, ys } = one;
  const rows = [];
  for (const { run, from, to } of one.pieces) {
    if (!isShown(run) || report.runs.diverged[run] !== null) continue;
    for (let row = from; row < to; row++) if (Number.isFinite(xs[row] + ys[row])) rows.push(row);
  }
  rows.sort((a, b) => xs[a] - xs[b] || ys[a] - ys[b]);
  let least = Infinity;
  const front = [];
  for (const row of rows) {
    if (ys[row] < least) front.push(row);
    least = Math.min(least, ys[row]);
  }
  const ofFront = (values) => Float64Array.from(front, (row) => values[row]);
  const runs = new Set(front.map((row) => one.table.run[row]));
  return { ...one, xs: ofFront(xs), ys: ofFront(ys), runs, pieces: front.length ? [{ run: -1, from: 0, to: front.length }] : [] };
}

// What is drawn of the shown runs, and why some of it is not.
function extentOf(series, types) {
  const found = { x: [Infinity, -Infinity], y: [Infinity, -Infinity], low: 0, astray: [], points: 0, without: new Set(), runs: new Set() };
  const data = series.filter(({ trace }) => trace.role === 'data');
  const all = data.flatMap((one) => one.pieces.filter(({ run }) => shown[run]).map((piece) => ({ ...one, ...piece })));
  const steady = ({ run }) => report.runs.diverged[run] === null;
  const any = all.some(steady); // a run that went astray would press all others flat
  for (const piece of all) measure(found, piece, types, !any || steady(piece));
  for (const run of found.runs) found.without.delete(run);
  return found;
}

function measure(found, { run, from, to, xs, ys }, types, widens) {
  const positive = [types.x === 'log', types.y === 'log'];
  for (let row = from; row < to; row++) {
    const [x, y] = [xs[row], ys[row]];
    if (!Number.isFinite(y)) continue;
    if (!Number.isFinite(x)) {
      found.without.add(run);
      continue;
    }
    if ((positive[0] && x <= 0) || (positive[1] && y <= 0)) {
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

function smoothed({ xs, ys, names, table, pieces }, [low, high]) {
  const strength = Math.min(Math.sqrt(state.smooth), 0.999);
  const faded = (distance) => strength ** ((Math.abs(distance) / (high - low || 1)) * MEASURE);
  const middle = worked(table, `median of ${names[1]}`, '', () => medians(ys, piecesOf(table)));
  return worked(table, names.join(), [state.smooth, low, high].join(), () => {
    const sums = new Float64Array(ys.length);
    const weights = new Float64Array(ys.length);
    for (const { from, to } of pieces) {
      addFaded(sums, weights, xs, middle, { first: from, end: to, step: 1, faded });
      addFaded(sums, weights, xs, middle, { first: to - 1, end: from - 1, step: -1, faded });
    }
    return sums.map((sum, row) => (sum - middle[row]) / (weights[row] - 1)); // its own came twice
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

function addFaded(sums, weights, xs, ys, { first, end, step, faded }) {
  let [sum, weight, before] = [0, 0, NaN];
  for (let row = first; row !== end; row += step) {
    if (!Number.isFinite(xs[row]) || !Number.isFinite(ys[row])) continue;
    const share = Number.isNaN(before) ? 1 : faded(xs[row] - before);
    sum = sum * share + ys[row];
    weight = weight * share + 1;
    before = xs[row];
    sums[row] += sum;
    weights[row] += weight;
  }
}
