// Parallel coordinates on the page: drawn when near, pointed at, drawn again on a change.

function drawParallel(view) {
  layOutParallel(view);
  drawParallelBase(view);
  drawParallelOver(view);
  view.axes.replaceChildren(...view.columns.map((column) => makeAxis(view, column)));
  if (view.focus) {
    const at = view.columns.findIndex(({ dimension }) => dimension.key === view.focus);
    view.axes.children[at].querySelector('button').focus({ preventScroll: true });
    view.focus = null;
  }
  const lines = [...shown.keys()].filter((run) => shown[run] && view.paths[run].length > 1).length;
  atlas.drawn[view.chart.key] = lines;
  showLegend(view.chart, colourOf(view.chart));
  showEmpty(view.chart, lines);
  const brushed = view.chart.layout.dimensions.some((dimension) => brushOf(view.chart, dimension));
  byId(`says-${view.chart.key}`).textContent = brushed ? `${counted(atlas.visible, 'run')} kept on the whole page; a click on an axis keeps all of it again.` : '';
}

// Of the shown runs the one whose line passes nearest to the pointer.
function nearestPath(view, [px, py]) {
  let best = { run: -1, far: 14 };
  for (let run = 0; run < RUNS; run++) {
    if (!shown[run]) continue;
    const points = view.paths[run];
    for (let i = 1; i < points.length; i++) {
      const [[ax, ay], [bx, by]] = [points[i - 1], points[i]];
      if (px < ax - 4 || px > bx + 4) continue;
      const share = Math.max(0, Math.min(1, (px - ax) / (bx - ax)));
      const eased = share * share * (3 - 2 * share); // as the curve is, near enough
      const far = Math.abs(ay + (by - ay) * eased - py);
      if (far < best.far) best = { run, far };
    }
  }
  return best.run;
}

function showParallelTip(view, run, event) {
  const lines = view.columns.map(({ dimension }) => {
    const value = report.columns[dimension.key].values[run];
    const text = value === null ? MISSING : typeof value === 'number' ? number(value) : clipped(String(value));
    return element('p', '', element('span', '', clipped(dimension.label)), element('b', '', dimension.unit && dimension.unit !== 'fraction' && value !== null ? `${text} ${dimension.unit}` : text));
  });
  tip.replaceChildren(element('p', 'tip-name', element('bdi', '', clipped(report.runs.name[run]))), element('p', '', report.runs.status[run]), ...lines);
  tip.style.borderLeftColor = colourOf(view.chart).colours[run];
  placeTip(tip, event.clientX, event.clientY, view.plot);
}

function listenToParallel(view) {
  const { field } = view;
  let under = -1;
  const look = (event) => {
    const frame = field.getBoundingClientRect();
    under = event.buttons ? -1 : nearestPath(view, [event.clientX - frame.left, event.clientY - frame.top]);
    if (under >= 0) showParallelTip(view, under, event);
    else tip.hidden = true;
    highlight(under);
  };
  field.addEventListener('pointermove', look);
  field.addEventListener('pointerleave', ({ pointerType }) => {
    if (pointerType === 'touch') return;
    tip.hidden = true;
    highlight(-1);
  });
  field.addEventListener('click', (event) => {
    if (under >= 0 && !event.target.closest('button') && !isOfTouch(event)) pin(under);
  });
  listenToTaps(field, (event) => {
    look(event);
    return under;
  });
}

function makeParallel(chart) {
  const plot = plotOf(chart);
  const [base, over] = ['base', 'over'].map((name) => element('canvas', name));
  const axes = element('div', 'axes');
  const field = element('div', 'lines-of', base, over, axes);
  plot.replaceChildren(field);
  const view = { chart, plot, field, base, over, axes };
  byId(`chart-${chart.key}`).querySelector('.reset').addEventListener('click', () => {
    const zoom = Object.fromEntries(Object.entries(state.zoom).filter(([key]) => !key.startsWith(`${chart.key}/`)));
    const { order: _order, ...options } = state.options[chart.key];
    change({ zoom, options: { ...state.options, [chart.key]: options } });
  });
  listenToParallel(view);
  return view;
}

function drawParallelOf(chart) {
  if (!parallels.has(chart.key)) parallels.set(chart.key, makeParallel(chart));
  drawParallel(parallels.get(chart.key));
}

function startParallel() {
  const nears = PARALLEL.map((chart) => [chart, whenNear(plotOf(chart), () => drawParallelOf(chart))]);
  const brushes = PARALLEL.map((chart) => ({ chart, text: '', brushed: false }));
  const apply = () => brushes.forEach(applyBrushes);
  apply();
  listen(['zoom'], apply);
  listen(['shown', 'colours', 'options', 'zoom', 'theme'], () => nears.forEach(([, near]) => near.makeAgain()));
  listen(['highlight', 'pins', 'baseline'], () => {
    for (const [chart, near] of nears) near.catchUp(() => drawParallelOver(parallels.get(chart.key)));
  });
}
