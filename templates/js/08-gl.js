// What changes often goes past plotly: its react makes every trace of a scene anew and parses a
// colour of text for each vertex. This reaches into the gl3d scene of the vendored bundle, whose
// hash is checked; a react, or a resize, afterwards finds the same in plotly's own data.

const glOf = (chart) => plotOf(chart)._fullLayout.scene._scene;

const shades = new Map(); // a colour as text -> as four shares
function shade(text) {
  if (!shades.has(text)) {
    const parts = text[0] === '#' ? channels(text) : text.match(/\d+/g).map(Number);
    shades.set(text, [...parts.slice(0, 3).map((part) => part / 255), 1]);
  }
  return shades.get(text);
}

// A trace's vertices in the scene's own space.
function positions({ x, y, z }, { fullSceneLayout, dataScale }) {
  const logs = ['x', 'y', 'z'].map((axis) => fullSceneLayout[`${axis}axis`].type === 'log');
  const [a, b, c] = [x, y, z].map((values, i) => {
    const scaled = new Float64Array(values.length);
    for (let k = 0; k < scaled.length; k++) scaled[k] = (logs[i] ? Math.log10(values[k]) : values[k]) * dataScale[i];
    return scaled;
  });
  return Array.from(a, (value, k) => [value, b[k], c[k]]);
}

function keep(target, plotly) {
  for (const axis of ['x', 'y', 'z']) target[axis] = plotly[axis];
  for (const part of ['line', 'marker']) if (plotly[part]) target[part] = { ...target[part], ...plotly[part] };
}

// Put new vertices or colours into one trace of a drawn scene.
function updateTrace(chart, place, plotly) {
  const plot = plotOf(chart);
  const gl = glOf(chart);
  const full = plot._fullData[place];
  keep(plot.data[place], plotly);
  keep(full, plotly);
  const made = gl.traces[full.uid];
  if (!made) return; // not visible
  if (full.mode !== 'lines' || !made.linePlot) {
    made.update(full);
    return;
  }
  const { color, width } = full.line;
  made.data = full;
  made.dataPoints = positions(full, gl);
  made.linePlot.update({
    position: made.dataPoints,
    color: typeof color === 'string' ? shade(color) : color.map(shade),
    lineWidth: width,
    opacity: full.opacity,
    connectGaps: false,
  });
}

function redrawScene(chart) {
  setPointable(chart);
  glOf(chart).glplot.redraw();
}

function updateRows(chart) {
  const scene = scenes.get(chart.key);
  scene.traces = resolvedTraces(chart);
  scene.traces.forEach(({ plotly }, place) => updateTrace(chart, place, plotly));
  redrawScene(chart);
  sayDrawn(chart);
}

function updateColours(chart) {
  const { colours } = colourOf(chart);
  scenes.get(chart.key).traces.forEach(({ plotly, at }, place) => {
    const { colour } = chart.traces[place];
    if (!colour) return;
    plotly[colour] = { ...plotly[colour], color: vertexColours(at, colours) };
    updateTrace(chart, place, plotly);
  });
  redrawScene(chart);
}

// After each picture plotly draws a second one, of what would be pointed at where, and reads it back;
// it also asks whether a buffer is there. All that waits for the GPU, half the time of a frame in
// software. So it is done where a pointer is, while nothing moves.
let pointedChart = null;
let turning = false; // a button is down: the camera follows the pointer
let readChart = null; // whose second picture is that of the first
let whenRead = null;

const isPointable = (chart) => chart === pointedChart && !playing && !turning;
const isRead = (chart) => chart === readChart;

// The objects of a scene are made anew when it is drawn, and by some changes.
function setPointable(chart) {
  const { gl, objects } = glOf(chart).glplot;
  const is = isPointable(chart);
  if (!is) {
    Object.assign(gl, { readPixels() {}, isBuffer: Boolean });
    if (isRead(chart)) readChart = null;
  } else if (Object.hasOwn(gl, 'isBuffer')) {
    delete gl.isBuffer; // the context's own come back
    gl.readPixels = (...place) => {
      delete gl.readPixels;
      gl.readPixels(...place);
      readChart = chart;
      whenRead();
    };
  }
  for (const object of objects) {
    if (is) delete object.drawPick;
    else object.drawPick = null;
  }
}

// The scene as a PNG in a data URL, for which plotly reads pixels.
function pictureOf(chart) {
  const { gl } = glOf(chart).glplot;
  for (const name of ['readPixels', 'isBuffer']) delete gl[name];
  try {
    return glOf(chart).toImage('png');
  } finally {
    setPointable(chart);
  }
}

// The pointer is over this scene, or over none. What it is at is known when `then` is called.
function pointerIsOver(chart, turns = false, then = null) {
  if (chart === pointedChart && turns === turning) return;
  const before = pointedChart;
  pointedChart = chart;
  turning = turns;
  whenRead = then;
  if (before && before !== chart) setPointable(before);
  if (!chart) return;
  setPointable(chart);
  if (!isPointable(chart)) return;
  glOf(chart).glplot.update(); // both pictures are due
  glOf(chart).glplot.redraw();
}

// Only the traces of what is pointed at or pinned.
function updateLit(chart) {
  const scene = scenes.get(chart.key);
  chart.traces.forEach((trace, place) => {
    if (trace.only !== 'highlight') return;
    scene.traces[place] = resolveTrace(trace, optionsOf(chart), []);
    updateTrace(chart, place, scene.traces[place].plotly);
  });
  redrawScene(chart);
}
