// A chart in two dimensions -> one SVG picture of its own, and its rows as CSV.

// Draws as a canvas does, into paths.
function vectorPen() {
  const paths = [];
  let d = '';
  const pen = { strokeStyle: '', fillStyle: '', lineWidth: 1, globalAlpha: 1, dash: [], paths };
  const at = (...places) => places.map((place) => Number(place.toFixed(1))).join(' ');
  const add = (paint) => d && paths.push(svgElement('path', { d, opacity: pen.globalAlpha, ...paint }));
  return Object.assign(pen, {
    beginPath: () => (d = ''),
    moveTo: (x, y) => (d += `M${at(x, y)}`),
    lineTo: (x, y) => (d += `L${at(x, y)}`),
    bezierCurveTo: (...places) => (d += `C${at(...places)}`),
    closePath: () => (d += 'Z'),
    arc: (x, y, r) => (d += `M${at(x - r, y)}A${at(r, r)} 0 1 1 ${at(x + r, y)}A${at(r, r)} 0 1 1 ${at(x - r, y)}`),
    rect: (x, y, width, height) => (d += `M${at(x, y)}h${at(width)}v${at(height)}h${at(-width)}Z`),
    setLineDash: (dash) => (pen.dash = dash),
    stroke: () => add({ fill: 'none', stroke: pen.strokeStyle, 'stroke-width': pen.lineWidth, 'stroke-dasharray': pen.dash.join(' '), 'stroke-linejoin': 'round', 'stroke-linecap': 'round' }),
    fill: () => add({ fill: pen.fillStyle }),
  });
}

// What the page's style sheet says, for a picture that has none.
function pictureStyle() {
  const stages = report.stages.colours[themeName()].map((colour, i) => `.stage-${i}{color:${colour}}`).join('');
  return `text{font:11.5px ${getComputedStyle(document.body).fontFamily};fill:${ink('muted')}}
.grid line{stroke:${ink('line')}}.grid .foot{stroke:${ink('shade')}}.grid line.level{stroke:${ink('muted')};stroke-dasharray:2 4}
.leader{fill:none;stroke:${ink('shade')};stroke-width:.8}.name{fill:${ink('soft')}}.head{font-size:13px;font-weight:600;fill:${ink('ink')}}.title{font-size:17px;font-weight:600;fill:${ink('ink')}}${stages}`;
}

const HEADER = 44; // pixels above the panels, for the title

function picture(chart, width, height, ...parts) {
  const title = svgElement('text', { class: 'title', x: 16, y: 27 }, report.charts.find(({ key }) => key === chart.key).title);
  const origin = svgElement('text', { x: 16, y: height + HEADER + 12 }, `${report.project}, snapshot ${report.snapshot}`);
  const size = { width: width + 32, height: height + HEADER + 24 };
  const paper = svgElement('rect', { width: '100%', height: '100%', fill: ink('card') });
  const symbols = [...document.querySelectorAll('.sprite symbol')].map((one) => one.cloneNode(true));
  const body = svgElement('g', { transform: `translate(16 ${HEADER})` }, ...parts);
  return svgElement('svg', { xmlns: SVG, viewBox: `0 0 ${size.width} ${size.height}`, ...size }, svgElement('style', {}, pictureStyle()), ...symbols, paper, title, body, origin);
}

function panelPicture(panel, frame) {
  const { box, grid, words } = panel;
  const own = panel.field.getBoundingClientRect();
  const pen = vectorPen();
  const { colours } = colourOf(panel.chart);
  const lit = litRuns();
  for (const bold of [false, true]) {
    for (const one of panel.series) {
      for (const piece of one.pieces) {
        if (!isShown(piece.run) || (bold && !lit.includes(piece.run))) continue;
        const colour = piece.run < 0 ? resolved(one.trace.plotly.line.color, {}) : colours[piece.run];
        drawRun(pen, panel, one, played(panel, piece, one), colour, bold);
      }
    }
  }
  const clip = svgElement('clipPath', { id: `clip-${panel.spec.key}` }, svgElement('rect', { x: box.left - 4, y: box.top - 4, width: box.right - box.left + 8, height: box.bottom - box.top + 8 }));
  const lines = svgElement('g', { 'clip-path': `url(#clip-${CSS.escape(panel.spec.key)})` }, ...pen.paths);
  const axes = svgElement('g', { class: 'grid' }, ...[...grid.childNodes].map((one) => one.cloneNode(true)));
  const names = [...words.childNodes].map((one) => one.cloneNode(true));
  const head = svgElement('text', { class: 'head', y: -5 }, panel.spec.title, svgElement('tspan', { dx: panel.spec.title ? 12 : 0, 'font-weight': 400 }, panel.yTitle.textContent));
  return svgElement('g', { transform: `translate(${own.left - frame.left} ${own.top - frame.top})` }, clip, head, axes, lines, ...names);
}

function planePicture(chart) {
  const frame = plotOf(chart).getBoundingClientRect();
  return picture(chart, frame.width, frame.height, ...visibleOf(chart).map((panel) => panelPicture(panel, frame)));
}

function parallelPicture(chart) {
  const view = parallels.get(chart.key);
  const pen = vectorPen();
  const { colours } = colourOf(chart);
  for (let run = 0; run < RUNS; run++) if (shown[run]) strokePath(pen, view, run, colours[run], 1.4, 0.7);
  const axes = view.columns.flatMap(({ dimension, x, scale }) => [
    svgElement('line', { class: 'foot', x1: x, x2: x, y1: view.size.top, y2: view.size.bottom }),
    svgElement('text', { x, y: view.size.top - 16, 'text-anchor': 'middle' }, dimension.label),
    ...dimensionTicks(dimension, scale).map(({ value, text }) => svgElement('text', { x: x + 6, y: scale.to(value) + 4 }, text)),
  ]);
  return picture(chart, view.size.width, view.size.height, svgElement('g', { class: 'grid' }, ...pen.paths, ...axes));
}

const quoted = (value) => (/[",\n\r]/.test(String(value)) ? `"${String(value).replace(/"/g, '""')}"` : String(value));
const lineOf = (values) => values.map((value) => quoted(value === null || Number.isNaN(value) ? '' : value)).join(',');

// The drawn points of the shown runs; what was not measured is empty.
function planeRows(chart) {
  const lines = [];
  for (const { spec, axes, series } of visibleOf(chart)) {
    for (const { trace, xs, ys, pieces } of series.filter((one) => one.trace.role === 'data')) {
      for (const { run, from, to } of pieces) {
        if (!shown[run]) continue;
        for (let row = from; row < to; row++) {
          if (Number.isFinite(xs[row] + ys[row])) lines.push(lineOf([report.runs.name[run], spec.title, onAxisName(axes.x, xs[row]), xs[row], axes.y.title || trace.panel, ys[row], axes.y.unit]));
        }
      }
    }
  }
  return ['run,panel,along,at,what,value,unit', ...lines].join('\n');
}

const onAxisName = (axis) => axis.title;

function parallelRows(chart) {
  const { dimensions } = chart.layout;
  const runs = [...shown.keys()].filter((run) => shown[run]);
  const lines = runs.map((run) => lineOf([report.runs.name[run], ...dimensions.map(({ key }) => report.columns[key].values[run])]));
  return [lineOf(['run', ...dimensions.map(({ label }) => label)]), ...lines].join('\n');
}
