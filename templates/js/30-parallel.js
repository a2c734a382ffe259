// From config to result: an axis for each, a line through them for each run, drawn on one canvas.
// What is brushed on an axis is kept in state.zoom (`parallel/depth`), so that a link has it too.

const PARALLEL = report.charts.filter(({ kind }) => kind === 'parallel');
const LEAST_WIDTH = 84; // pixels between two axes; where there are fewer the chart scrolls sideways
const parallels = new Map(); // chart key -> what is on the page

const brushKey = (chart, { key }) => `${chart.key}/${key}`;
const brushOf = (chart, dimension) => state.zoom[brushKey(chart, dimension)]?.y;

// Where on its axis a run stands, as a number; null where it has no value.
function valueOn(dimension, run) {
  const value = report.columns[dimension.key].values[run];
  if (dimension.type !== 'category') return Number.isFinite(value) ? value : null;
  const place = dimension.categories.indexOf(value);
  return place < 0 ? null : place;
}

// The order that the reader has made, as far as these dimensions are in it.
function inOrder(chart) {
  const wanted = (state.options[chart.key].order || '').split(',');
  const { dimensions } = chart.layout;
  const place = ({ key }) => (wanted.includes(key) ? wanted.indexOf(key) : dimensions.length);
  return [...dimensions].sort((a, b) => place(a) - place(b));
}

function dimensionScale(dimension, top, bottom) {
  const { type, range, categories } = dimension;
  if (type === 'category') return axisScale('linear', [-0.4, categories.length - 0.6], bottom, top);
  return axisScale(type, aired(type, range[0], range[1], 0.03), bottom, top);
}

// Few values are each named, many have round ones between.
function dimensionTicks(dimension, scale) {
  if (dimension.type === 'category') return ticksOf(dimension, scale.range, 9);
  const distinct = [...new Set(report.columns[dimension.key].values)].filter((value) => Number.isFinite(value) && value !== null);
  if (distinct.length <= 7 && !dimension.result) return distinct.map((value) => ({ value, text: short(value) }));
  return ticksOf(dimension, scale.range, 6).filter(({ value }) => inRange(value, scale.range));
}

function layOutParallel(view) {
  const { chart, plot } = view;
  const dimensions = inOrder(chart);
  const room = plot.parentElement.clientWidth - parseFloat(getComputedStyle(plot.parentElement).paddingLeft) * 2;
  const width = printing ? room : Math.max(room, dimensions.length * LEAST_WIDTH); // paper does not scroll
  const height = plot.clientHeight;
  const each = width / dimensions.length;
  view.size = { width, height, top: 52, bottom: height - 12 };
  view.columns = dimensions.map((dimension, i) => ({
    dimension,
    x: Math.round(each * (i + 0.5)),
    scale: dimensionScale(dimension, view.size.top, view.size.bottom),
  }));
  view.paths = Array.from({ length: RUNS }, (_, run) => pathOf(view, run));
  view.field.style.width = `${width}px`;
  view.each = each;
}

// A run's vertices: a place on each axis that it has a value on.
function pathOf({ columns }, run) {
  const places = columns.map(({ dimension, x, scale }) => [x, valueOn(dimension, run), scale]);
  return places.filter(([, value]) => value !== null).map(([x, value, scale]) => [x, scale.to(value)]);
}

function drawPath(pen, points) {
  points.forEach(([x, y], i) => {
    if (i === 0) pen.moveTo(x, y);
    else {
      const [px, py] = points[i - 1];
      const bend = (x - px) * 0.42;
      pen.bezierCurveTo(px + bend, py, x - bend, y, x, y);
    }
  });
}

function strokePath(pen, view, run, colour, width, alpha) {
  pen.beginPath();
  drawPath(pen, view.paths[run]);
  [pen.strokeStyle, pen.lineWidth, pen.globalAlpha] = [colour, width, alpha];
  pen.stroke();
  pen.globalAlpha = 1;
}

function drawParallelBase(view) {
  const pen = fitCanvas(view.base, view.size.width, view.size.height);
  const { colours } = colourOf(view.chart);
  const amount = atlas.visible;
  const alpha = amount > 400 ? 0.22 : amount > 80 ? 0.45 : 0.8;
  for (let run = 0; run < RUNS; run++) if (!shown[run]) strokePath(pen, view, run, ink('line'), 1, 0.6);
  for (let run = 0; run < RUNS; run++) if (shown[run]) strokePath(pen, view, run, colours[run], amount > 80 ? 1 : 1.7, alpha);
}

function drawParallelOver(view) {
  const pen = fitCanvas(view.over, view.size.width, view.size.height);
  const { colours } = colourOf(view.chart);
  const chosen = litRuns();
  view.field.classList.toggle('lit', chosen.length > 0);
  for (const run of chosen) {
    strokePath(pen, view, run, ink('card'), 6, 1);
    strokePath(pen, view, run, colours[run], 2.8, 1);
    for (const [x, y] of view.paths[run]) drawMark(pen, 'circle', x, y, 3.6, colours[run], 1);
  }
}

// By run: passes between the ends of every brush; null where nothing is brushed.
function brushedRuns(chart) {
  const brushes = chart.layout.dimensions.map((dimension) => [dimension, brushOf(chart, dimension)]).filter(([, brush]) => brush);
  if (!brushes.length) return null;
  const passes = (run) => ([dimension, [low, high]]) => {
    const value = valueOn(dimension, run);
    return value !== null && value >= low && value <= high;
  };
  return Uint8Array.from({ length: RUNS }, (_, run) => Number(brushes.every(passes(run))));
}

function setBrush(chart, dimension, pair) {
  const zoom = { ...state.zoom };
  if (pair) zoom[brushKey(chart, dimension)] = { y: pair };
  else delete zoom[brushKey(chart, dimension)];
  change({ zoom });
}

// The brushes are the cause, the selection follows; a selection made elsewhere stays.
function applyBrushes(view) {
  const text = JSON.stringify(view.chart.layout.dimensions.map((dimension) => brushOf(view.chart, dimension)));
  if (text === view.text) return;
  const selected = brushedRuns(view.chart);
  if (selected || view.brushed) change({ selected });
  Object.assign(view, { text, brushed: selected !== null });
}
