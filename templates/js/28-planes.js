// The planes of the page: made when they come near the view, drawn again when what they show changes.

const drawnPlanes = new Map(); // chart key -> its panels
const stale = new Map(); // chart key -> what is to be drawn again: all of it, or what is lit

function makePlane(chart) {
  const plot = plotOf(chart);
  const panels = chart.layout.panels.map((spec) => makePanel(chart, spec));
  const columns = Math.min(chart.layout.columns, panels.length);
  plot.classList.add(`of-${Math.max(1, columns)}`);
  plot.replaceChildren(...panels.map(({ root }) => root));
  for (const panel of panels) {
    panel.field.setAttribute('aria-label', `${chart.title}${panels.length > 1 ? `, ${panel.spec.title}` : ''}. ${KEYS_SAY}`);
    listenToPointer(panel);
    listenToDrag(panel);
    listenToPanelKeys(panel);
  }
  byId(`chart-${chart.key}`).querySelector('.reset').addEventListener('click', () => resetZoom(panels));
  drawnPlanes.set(chart.key, panels);
  return panels;
}

function resetZoom(panels) {
  const zoom = { ...state.zoom };
  for (const { key } of panels) delete zoom[key];
  change({ zoom });
}

// What is not drawn, in words: by far the most of it nobody would miss by looking.
function sayLeftOut(chart, panels) {
  const total = (part) => panels.reduce((sum, { found }) => sum + found[part], 0);
  const says = [];
  const without = [...new Set(panels.flatMap(({ found }) => [...found.without]))].sort((a, b) => a - b);
  const runs = new Set(panels.flatMap(({ found }) => [...found.runs]));
  const lacking = without.filter((run) => !runs.has(run));
  if (lacking.length) {
    const axis = panels[0].axes.x;
    const names = lacking.slice(0, 6).map((run) => isolated(clipped(report.runs.name[run]))).join(', ');
    says.push(`${counted(lacking.length, 'run')} left out: ${axis.title} not measured (${names}${lacking.length > 6 ? ' …' : ''}).`);
  }
  const low = total('low');
  if (low) says.push(`${counted(low, 'point')} of 0 or less left out: a log axis has no place for ${low === 1 ? 'it' : 'them'}.`);
  const astray = panels.flatMap(({ found, scales }) => found.astray.filter((y) => y > scales.y.range[1] || y < scales.y.range[0]));
  if (astray.length) {
    const furthest = number(astray.reduce((a, b) => Math.max(a, b)));
    says.push(`${counted(astray.length, 'point')} of diverged runs, up to ${furthest}, beyond the axis: − zooms out.`);
  }
  if (panels.some(({ key }) => state.zoom[key])) says.push('Zoomed in: double click or Escape shows all.');
  byId(`says-${chart.key}`).textContent = says.join(' ');
}

function drawPlane(chart) {
  const panels = drawnPlanes.get(chart.key) || makePlane(chart);
  const options = planeOptions(chart);
  for (const panel of panels) {
    panel.series = seriesOf(chart, panel.spec, options);
    panel.root.hidden = panels.length > 1 && !panel.series.some(({ pieces }) => pieces.length);
  }
  const visible = visibleOf(chart);
  const odd = visible.length % 2 === 1 && chart.layout.columns === 2;
  for (const panel of visible) {
    panel.root.classList.toggle('wide', odd && panel === visible[visible.length - 1]);
    layOut(panel, options);
    drawBase(panel);
    drawOver(panel);
  }
  const points = visible.reduce((sum, { found }) => sum + found.points, 0);
  atlas.drawn[chart.key] = points;
  sayLeftOut(chart, visible);
  showLegend(chart, colourOf(chart));
  showEmpty(chart, points);
}

const visibleOf = (chart) => drawnPlanes.get(chart.key).filter(({ root }) => !root.hidden);
const relight = (chart) => visibleOf(chart).forEach(drawOver);

function redrawPlanes() {
  for (const chart of PLANES) {
    if (!drawnPlanes.has(chart.key)) continue;
    if (inView(plotOf(chart))) drawPlane(chart);
    else stale.set(chart.key, drawPlane);
  }
}

function relightPlanes() {
  for (const chart of PLANES) {
    if (!drawnPlanes.has(chart.key) || stale.get(chart.key) === drawPlane) continue;
    if (inView(plotOf(chart))) relight(chart);
    else stale.set(chart.key, relight);
  }
}

function startPlanes() {
  document.body.append(tip, spoken);
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      const chart = PLANES.find((one) => plotOf(one) === target);
      if (!drawnPlanes.has(chart.key)) drawPlane(chart);
      else stale.get(chart.key)?.(chart);
      stale.delete(chart.key);
    }
  }, { rootMargin: '200px' });
  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const chart = PLANES.find((one) => plotOf(one) === target);
      if (drawnPlanes.has(chart.key)) drawPlane(chart);
    }
  });
  for (const chart of PLANES) {
    near.observe(plotOf(chart));
    sizes.observe(plotOf(chart));
  }
  listen(['shown', 'colours', 'options', 'zoom', 'x', 'smooth', 'at', 'theme'], redrawPlanes);
  listen(['highlight', 'pins', 'baseline'], relightPlanes);
}

atlas.planes = drawnPlanes;
