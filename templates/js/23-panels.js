// A plane on the page: a grid of panels, each with axes in SVG under two canvases, one for all the
// runs and one for those that are pointed at or pinned, so that pointing redraws only these.

const LABEL = 11.5; // pixels, as in css/11-planes.css
const MOST_GUTTER = 170; // pixels on the right for the names, where there is room

let measurer = null;
function widthOf(text) {
  if (!measurer) {
    measurer = document.createElement('canvas').getContext('2d');
    measurer.font = `${LABEL}px ${getComputedStyle(document.body).fontFamily}`;
  }
  return measurer.measureText(text).width;
}

function svgElement(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function makePanel(chart, spec) {
  const canvases = ['base', 'over'].map((name) => element('canvas', name));
  const [grid, words] = ['grid', 'words'].map((name) => svgElement('svg', { class: name, 'aria-hidden': 'true' }));
  const field = element('div', 'field-of', grid, ...canvases, words);
  const stage = report.stages.names.indexOf(spec.title);
  const icon = stage < 0 ? [] : [symbol(report.stages.symbols[stage], `stage-${stage}`)];
  const title = element('span', 'panel-title', ...icon, spec.title);
  title.hidden = !spec.title;
  const y = element('span', 'panel-y');
  const root = element('div', 'panel', element('div', 'panel-head', title, y), field);
  field.tabIndex = 0;
  field.setAttribute('role', 'application');
  field.setAttribute('aria-roledescription', 'chart');
  const key = chart.layout.panels.length > 1 ? `${chart.key}/${spec.key}` : chart.key;
  return { chart, spec, key, root, field, grid, words, base: canvases[0], over: canvases[1], yTitle: y };
}

function fitCanvas(canvas, width, height) {
  if (recorder) return penOf(canvas);
  const ratio = devicePixelRatio || 1;
  const size = [Math.round(width * ratio), Math.round(height * ratio)];
  // for paper Chromium repeats what was called, and would paint what was cleared white, over all below
  const fits = !printing && canvas.width === size[0] && canvas.height === size[1];
  if (!fits) [canvas.width, canvas.height] = size;
  // read or not: without a GPU a thousand lines take 3 s on the way that is not for reading, else 0.1
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  if (fits) pen.clearRect(0, 0, width, height);
  [pen.lineJoin, pen.lineCap] = ['round', 'round'];
  return pen;
}

// A level is in view unless all that is drawn would be pressed together for it.
function withLevels([low, high], lines) {
  const near = lines.map(({ y }) => y).filter((y) => Math.max(low - y, y - high) <= 1.2 * (high - low));
  return [Math.min(low, ...near), Math.max(high, ...near)];
}

// What is visible of an axis: what the reader has zoomed to, else everything that is drawn.
function rangeOf(panel, which, axis, found) {
  const zoomed = state.zoom[panel.key]?.[which];
  if (zoomed && (axis.type !== 'log' || zoomed[0] > 0)) return zoomed;
  if (axis.type === 'category') return [-0.5, axis.categories.length - 0.5];
  const [low, high] = which === 'y' ? withLevels(found.y, panel.spec.lines) : found.x;
  if (low > high) return axis.type === 'log' ? [1, 10] : [0, 1];
  const lines = which === 'x' && !panel.series.some((one) => one.marks && one.trace.role === 'data');
  return lines && axis.type !== 'log' && low >= 0 && low < high * 0.2 ? [0, high] : aired(axis.type, low, high, lines ? 0.01 : 0.06);
}

const inRange = (value, [low, high]) => value >= low - 1e-9 * Math.abs(low) && value <= high + 1e-9 * Math.abs(high);

function layOut(panel, options) {
  const { spec, field } = panel;
  const axes = { x: resolved(spec.x, options), y: resolved(spec.y, options) };
  Object.assign(panel, { axes, options });
  panel.found = extentOf(panel.series, { x: axes.x.type, y: axes.y.type });
  const [width, height] = [field.clientWidth, field.clientHeight];
  const [top, bottom] = [8, height - 36];
  const ranges = { x: rangeOf(panel, 'x', axes.x, panel.found), y: rangeOf(panel, 'y', axes.y, panel.found) };
  const ticks = (which, most) => ticksOf(axes[which], ranges[which], most).filter(({ value }) => inRange(value, ranges[which]));
  const yTicks = ticks('y', Math.max(2, Math.round(height / 52)));
  const left = Math.ceil(Math.max(16, ...yTicks.map(({ text }) => widthOf(text)))) + 9;
  const named = panel.series.some(({ trace, marks }) => trace.labels && !marks) && width > 460;
  const gutter = named ? Math.min(MOST_GUTTER, width * 0.24) : 14;
  const right = width - gutter;
  const xTicks = ticks('x', Math.max(2, Math.round((right - left) / 70)));
  panel.box = { width, height, left, right, top, bottom, named };
  panel.scales = { x: axisScale(axes.x.type, ranges.x, left, right), y: axisScale(axes.y.type, ranges.y, bottom, top) };
  drawAxes(panel, xTicks, yTicks);
}

// Of the labels along x those that would touch the one before are left out.
function apart(ticks, scale, room) {
  let end = -Infinity;
  return ticks.filter(({ value, text }) => {
    const half = widthOf(text) / 2;
    const at = Math.max(half, Math.min(scale.to(value), room - half));
    if (at - half < end + 8) return false;
    end = at + half;
    return true;
  });
}

function drawAxes({ axes, scales: { x, y }, box, grid, words, spec, yTitle, options }, xTicks, yTicks) {
  const { left, right, bottom, width, height } = box;
  const text = (content, at, more = {}) => svgElement('text', { ...at, ...more }, content);
  const rules = yTicks.map(({ value }) => svgElement('line', { x1: left, x2: right, y1: y.to(value), y2: y.to(value) }));
  const feet = xTicks.map(({ value }) => svgElement('line', { class: 'foot', x1: x.to(value), x2: x.to(value), y1: bottom, y2: bottom + 4 }));
  const floor = svgElement('line', { class: 'foot', x1: left, x2: right, y1: bottom, y2: bottom });
  const ups = yTicks.map((tick) => text(tick.text, { x: left - 8, y: y.to(tick.value) + 4, 'text-anchor': 'end' }));
  const under = axes.x.stages ? 31 : 17;
  const along = apart(xTicks, x, width).map((tick) => {
    const half = widthOf(tick.text) / 2;
    return text(tick.text, { x: Math.max(half, Math.min(x.to(tick.value), width - half)), y: bottom + under, 'text-anchor': 'middle' });
  });
  const icons = (axes.x.stages || []).map((stage, at) => {
    const name = `#symbol-${report.stages.symbols[stage]}`;
    return svgElement('use', { href: name, class: `stage-${stage}`, x: x.to(at) - 5, y: bottom + 7, width: 10, height: 10 });
  });
  const marks = resolved(spec.lines, options).flatMap((line) => {
    if (!inRange(line.y, y.range)) {
      const [at, where] = line.y < y.range[0] ? [bottom - 5, 'below'] : [top + 10, 'above'];
      return [text(`${line.text}, ${where}`, { x: right, y: at, 'text-anchor': 'end' })];
    }
    const level = svgElement('line', { class: 'level', x1: left, x2: right, y1: y.to(line.y), y2: y.to(line.y) });
    return [level, text(line.text, { x: right, y: y.to(line.y) - 4, 'text-anchor': 'end' })];
  });
  const name = axes.x.type === 'category' ? '' : axisTitle(axes.x);
  const title = text(name, { x: right, y: height - 3, 'text-anchor': 'end' }, { class: 'axis-title' });
  for (const svg of [grid, words]) {
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    svg.setAttribute('preserveAspectRatio', 'none'); // where paper is of another size both layers are
  }
  grid.replaceChildren(...rules, floor, ...feet, ...ups, ...along, ...icons, ...marks, title);
  yTitle.textContent = axisTitle(axes.y);
}

function insideBox(pen, { left, right, top, bottom }, draw) {
  pen.save();
  pen.beginPath();
  pen.rect(left - 4, top - 4, right - left + 8, bottom - top + 8);
  pen.clip();
  draw();
  pen.restore();
}

// How lines look among so many. A stroke of at most one pixel is drawn ten times as fast as a wider
// one (measured), and the logged lines of hundreds of runs are a haze: they come with the pointer.
function styleOf(many) {
  if (many > 120) return { width: 1, alpha: 0.55, raw: 0 };
  return { width: 1.7, alpha: 1, raw: many > 60 ? 0.08 : many > 12 ? 0.16 : 0.28 };
}

// A run's lines and marks; bold ones have an edge in the card's colour, to stand off from the rest.
function drawRun(pen, panel, one, piece, colour, bold) {
  const { trace, xs, ys } = one;
  const { scales } = panel;
  if (one.marks) {
    drawMarks(pen, piece, one, scales, { colour, grow: bold ? 1.5 : 0, alpha: bold ? 1 : 0.85 });
    return;
  }
  const style = styleOf(panel.found.runs.size);
  const smooth = one.smooth && state.smooth > 0;
  const values = smooth ? panel.smooth(one) : ys;
  const raw = bold ? 0.55 : style.raw;
  if (bold) strokeLine(pen, piece, xs, values, scales, { colour: ink('card'), width: 6 });
  if (smooth && raw) strokeLine(pen, piece, xs, ys, scales, { colour, width: 1, alpha: raw });
  const { line = {}, opacity = style.alpha } = trace.plotly;
  const width = line.width ?? style.width;
  const look = bold ? { width: Math.max(width, 1.7) + 1 } : { width, alpha: opacity };
  strokeLine(pen, piece, xs, values, scales, { colour, dash: line.dash ? [6, 4] : [], ...look });
}

// What of a line has been played so far, if it lies along the steps that are played.
function played(piece, one) {
  if (state.at === null || !one.along) return piece;
  const fits = playedRows(one.table);
  let { to } = piece;
  while (to > piece.from && !fits(one.rows[to - 1])) to -= 1;
  return { ...piece, to };
}

function drawBase(panel) {
  const pen = fitCanvas(panel.base, panel.box.width, panel.box.height);
  const { colours } = colourOf(panel.chart);
  panel.smooth = (one) => smoothed(one, panel.found.x);
  insideBox(pen, panel.box, () => {
    for (const one of panel.series) {
      for (const piece of one.pieces) {
        const colour = piece.run < 0 ? resolved(one.trace.plotly.line.color, {}) : colours[piece.run];
        if (isShown(piece.run)) drawRun(pen, panel, one, played(piece, one), colour);
      }
    }
  });
}

const litRuns = () => [state.baseline, ...state.pins, state.highlight].filter((run, i, all) => run >= 0 && shown[run] && all.lastIndexOf(run) === i);

function drawOver(panel) {
  const pen = fitCanvas(panel.over, panel.box.width, panel.box.height);
  const { colours } = colourOf(panel.chart);
  const chosen = litRuns().filter((run) => panel.found.runs.has(run));
  panel.root.classList.toggle('lit', chosen.length > 0);
  insideBox(pen, panel.box, () => {
    for (const run of chosen) {
      for (const one of panel.series) {
        for (const piece of one.pieces) {
          if (piece.run === run) drawRun(pen, panel, one, played(piece, one), colours[run], true);
        }
      }
    }
  });
  drawCursor(pen, panel);
  drawNames(panel, chosen, colours);
}
