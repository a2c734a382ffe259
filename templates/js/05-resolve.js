// A chart's specification -> what plotly draws. The grammar is in reports/charts/spec.py, and
// reports/figure.py does the same for the stills.

const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

// Which rows of the table become vertices; -1 is a gap, so that no line joins two runs. There is
// always one vertex: plotly makes nothing of a trace that has none, and nothing can be changed later.
function vertices(rows, table, wanted, within, stride) {
  const lines = table.line || table.run;
  const out = [];
  let last = -1;
  let skipped = -1; // a line that is drawn with fewer vertices still ends where it ends
  const gap = () => {
    if (skipped > last) out.push(skipped);
    if (last >= 0) out.push(-1);
  };
  for (let row = 0; row < table.run.length; row++) {
    if (!wanted[table.run[row]] || !within(row)) continue;
    if (rows === 'stems') out.push(row, row, -1);
    else if (rows === 'points') out.push(row);
    else if (rows === 'ends') {
      if (last >= 0 && table.run[last] === table.run[row]) out.pop();
      out.push(row);
    } else {
      if (last >= 0 && lines[last] !== lines[row]) gap();
      else if (last >= 0 && row % stride) {
        skipped = row;
        continue;
      }
      out.push(row);
    }
    last = row;
  }
  if (skipped > last) out.push(skipped);
  return out.length ? out : [-1];
}

function pick(reference, at) {
  if (typeof reference !== 'object') return at.rows.map(() => reference);
  if ('$run' in reference) {
    const values = report.runs[reference.$run];
    return at.rows.map((row) => (row < 0 ? '' : values[at.table.run[row]]));
  }
  if ('$if' in reference) {
    const test = at.table[reference.$if];
    const yes = pick(reference.then, at);
    const no = pick(reference.else, at);
    return at.rows.map((row, i) => (row >= 0 && test[row] ? yes[i] : no[i]));
  }
  const values = at.table[reference.$];
  return Float64Array.from(at.rows, (row) => (row < 0 ? NaN : values[row]));
}

const REFERENCES = ['$', '$run', '$if'];

function resolved(value, options, at) {
  if (Array.isArray(value)) return value.map((item) => resolved(item, options, at));
  if (!isObject(value)) return value;
  if ('?' in value) return resolved(value.of[options[value['?']]], options, at);
  if ('@' in value) return ink(value['@']);
  if (at && REFERENCES.some((key) => key in value)) return pick(value, at);
  return mapValues(value, (item) => resolved(item, options, at));
}

// Shadows lie on the floor; of a stem's three vertices the second does.
function onFloor(trace, z) {
  if (trace.rows === 'shadow') return z.map((value) => (Number.isNaN(value) ? NaN : trace.foot));
  if (trace.rows === 'stems') return z.map((value, i) => (i % 3 === 1 ? trace.foot : value));
  return z;
}

function limitOf(limits, table) {
  const tests = [];
  if (limits && limits.limits) {
    const values = table[limits.column];
    const [low, high] = limits.limits;
    tests.push((row) => values[row] >= low && values[row] <= high);
  }
  if (state.at !== null) tests.push(playedRows(table));
  return tests.length === 1 ? tests[0] : (row) => tests.every((test) => test(row));
}

// Training has been played so far: steps count on through the parents.
const LAST_STEP = report.columns.steps.values.reduce((last, steps, run) => Math.max(last, (steps || 0) + report.runs.offset[run]), 0);

function playedRows({ run, step }) {
  const until = state.at * LAST_STEP;
  const { offset } = report.runs;
  return step ? (row) => step[row] + offset[run[row]] <= until : (row) => offset[run[row]] <= until;
}

function wantedRuns(trace) {
  if (trace.only !== 'highlight') return shown;
  const wanted = new Uint8Array(RUNS);
  for (const run of [...state.pins, state.baseline, state.highlight]) if (run >= 0) wanted[run] = shown[run];
  return wanted;
}

const PLAYED_VERTICES = 2000; // what software WebGL draws in a frame of less than 0.1 s
const SMOOTH_VERTICES = 2500; // are enough for what has no corners,
const LEAST_OF_A_LINE = 24; // and these for each run

function strideOf(trace, table, options) {
  const { length } = table.run;
  if (playing) return Math.ceil(length / PLAYED_VERTICES);
  if (!resolved(trace.smooth, options)) return 1;
  return Math.max(1, Math.min(Math.ceil(length / SMOOTH_VERTICES), Math.floor(length / RUNS / LEAST_OF_A_LINE)));
}

// While training plays only what moves is drawn: neither shadows nor what stands behind.
const isStill = (trace, plotly) => trace.rows === 'shadow' || plotly.opacity < 1;

function resolveTrace(trace, options, colours) {
  const table = tables[resolved(trace.table, options)];
  const fixed = resolved(trace.plotly, options);
  const within = limitOf(resolved(trace.within, options), table);
  const stride = strideOf(trace, table, options);
  const rows = playing && isStill(trace, fixed) ? [-1] : vertices(trace.rows, table, wantedRuns(trace), within, stride);
  const at = { table, rows };
  const plotly = resolved(trace.plotly, options, at);
  plotly.z = onFloor(trace, plotly.z);
  if (trace.colour) plotly[trace.colour] = { ...plotly[trace.colour], color: vertexColours(at, colours) };
  plotly.hoverinfo = trace.hover ? 'none' : 'skip'; // what is said there is in hover.js
  return { plotly, at };
}

const vertexColours = ({ rows, table }, colours) =>
  rows.map((row) => (row < 0 ? colours[0] : colours[table.run[row]]));

const finitePoints = ({ x, y, z }) => {
  let count = 0;
  for (let i = 0; i < x.length; i++) if (Number.isFinite(x[i] + y[i] + z[i])) count++;
  return count;
};

// From 640 pixels on there is room for the wide scene.
const roomOf = (element) => (element.clientWidth < 640 ? 'narrow' : 'wide');

// In a picture that is narrower than the scene needs the camera steps back.
function fitted(layout, element) {
  const { meta, scene } = layout;
  const far = Math.max(1, (meta.needs * element.clientHeight) / element.clientWidth);
  const { eye, center } = scene.camera;
  const moved = Object.fromEntries(['x', 'y', 'z'].map((k) => [k, center[k] + (eye[k] - center[k]) * far]));
  return { ...layout, scene: { ...scene, camera: { ...scene.camera, eye: moved } } };
}

const optionsOf = (chart) => ({ ...state.options[chart.key], room: roomOf(plotOf(chart)) });

function layoutOf(chart) {
  const layout = fitted(resolved(chart.layout, optionsOf(chart)), plotOf(chart));
  layout.scene.camera = { ...layout.scene.camera, ...state.camera[chart.key] };
  return layout;
}

function resolvedTraces(chart) {
  const { colours } = colourOf(chart);
  return chart.traces.map((trace) => resolveTrace(trace, optionsOf(chart), colours));
}

// How many points stand in the chart, of the traces that hold its data.
const drawnPoints = (chart, traces) =>
  chart.traces.reduce((sum, { role }, i) => sum + (role === 'data' ? finitePoints(traces[i].plotly) : 0), 0);
