// A chart's specification -> what plotly draws. The grammar is in reports/charts/spec.py, and
// reports/figure.py does the same for the stills.

const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

// Which rows of the table become vertices; -1 is a gap, so that no line joins two runs.
function vertices(rows, table, wanted, within) {
  const lines = table.line || table.run;
  const out = [];
  for (let row = 0, last = -1; row < table.run.length; row++) {
    if (!wanted[table.run[row]] || !within(row)) continue;
    if (rows === 'stems') out.push(row, row, -1);
    else if (rows === 'points') out.push(row);
    else if (rows === 'ends') {
      if (last >= 0 && table.run[last] === table.run[row]) out.pop();
      out.push(row);
    } else {
      if (last >= 0 && lines[last] !== lines[row]) out.push(-1);
      out.push(row);
    }
    last = row;
  }
  return out;
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

function limitOf(within, table) {
  if (!within || !within.limits) return () => true;
  const values = table[within.column];
  const [low, high] = within.limits;
  return (row) => values[row] >= low && values[row] <= high;
}

function wantedRuns(trace) {
  if (trace.only !== 'highlight') return shown;
  const wanted = new Uint8Array(RUNS);
  for (const run of [...state.pins, state.highlight]) if (run >= 0) wanted[run] = shown[run];
  return wanted;
}

function resolveTrace(trace, options, colours) {
  const table = tables[resolved(trace.table, options)];
  const within = limitOf(resolved(trace.within, options), table);
  const at = { table, rows: vertices(trace.rows, table, wantedRuns(trace), within) };
  const plotly = resolved(trace.plotly, options, at);
  plotly.z = onFloor(trace, plotly.z);
  if (trace.colour) {
    const own = at.rows.map((row) => (row < 0 ? colours[0] : colours[table.run[row]]));
    plotly[trace.colour] = { ...plotly[trace.colour], color: own };
  }
  if (trace.hover) {
    plotly.text = hoverTexts(trace.hover, options, at);
    plotly.hovertemplate = '%{text}<extra></extra>';
  }
  return { plotly, at };
}

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

function figure(chart, element) {
  const options = { ...state.options[chart.key], room: roomOf(element) };
  const colour = colourOf(chart);
  const traces = chart.traces.map((trace) => resolveTrace(trace, options, colour.colours));
  const layout = fitted({ ...resolved(chart.layout, options), uirevision: 'kept' }, element);
  chart.traces.forEach((trace, i) => {
    if (trace.labels) layout.scene.annotations = labels(traces[i], layout, element);
  });
  const data = chart.traces.map((trace, i) => trace.role === 'data' && traces[i].plotly).filter(Boolean);
  const drawn = data.reduce((total, plotly) => total + finitePoints(plotly), 0);
  return { data: traces.map((trace) => trace.plotly), layout, rows: traces.map((t) => t.at), colour, drawn };
}
