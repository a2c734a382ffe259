// The planes of the page: made when they come near the view, drawn again when what they show changes.

const drawnPlanes = new Map(); // chart key -> its panels
const planesNear = new Map(); // chart -> whenNear of it

function makePlane(chart) {
  const plot = plotOf(chart);
  const panels = chart.layout.panels.map((spec) => makePanel(chart, spec));
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

const listedRuns = (runs) => runs.slice(0, 6).map((run) => isolated(clipped(report.runs.name[run]))).join(', ') + (runs.length > 6 ? ' …' : '');

function sayLacking(panels) {
  const lacking = [...new Set(panels.flatMap(({ found }) => found.without))].sort((a, b) => a - b);
  return lacking.length ? `${counted(lacking.length, 'run')} left out: ${panels[0].axes.x.title} not measured (${listedRuns(lacking)}).` : '';
}

function sayLow(panels) {
  const low = panels.reduce((sum, { found }) => sum + found.low, 0);
  return low ? `${counted(low, 'point')} of 0 or less left out: a log axis has no place for ${low === 1 ? 'it' : 'them'}.` : '';
}

function sayAstray(panels) {
  const astray = panels.flatMap(({ found, scales }) => found.astray.filter((y) => !inRange(y, scales.y.range)));
  if (!astray.length) return '';
  const furthest = number(astray.reduce((a, b) => Math.max(a, b)));
  return `${counted(astray.length, 'point')} of diverged runs, up to ${furthest}, beyond the axis: − zooms out.`;
}

// The rows of the shown runs that are in view, and the steps they lie between.
function inSight({ series, scales: { x, y } }) {
  const seen = { points: 0, steps: [Infinity, -Infinity] };
  for (const { trace, table, rows, xs, ys, pieces } of series) {
    for (const { run, from, to } of trace.role === 'data' ? pieces : []) {
      for (let row = from; row < to; row++) {
        if (!isShown(run) || !inRange(xs[row], x.range) || !inRange(ys[row], y.range)) continue;
        seen.points += 1;
        const step = table.step?.[rows[row]];
        seen.steps = [Math.min(seen.steps[0], step), Math.max(seen.steps[1], step)];
      }
    }
  }
  return seen;
}

function sayZoomed(chart, panels) {
  const zoomed = panels.filter(({ key }) => state.zoom[key]);
  if (!zoomed.length) return '';
  const back = 'Double click or Escape shows all.';
  const logged = resolved(chart.layout.logged, planeOptions(chart));
  if (!logged) return `Zoomed in. ${back}`;
  const seen = zoomed.map(inSight);
  const points = counted(seen.reduce((sum, one) => sum + one.points, 0), 'point');
  if (!logged.thinned) return `Zoomed in: ${points} in view, all that was logged. ${back}`;
  const [low, high] = [Math.min(...seen.map(({ steps }) => steps[0])), Math.max(...seen.map(({ steps }) => steps[1]))];
  const name = logged.metric.replace(/'/g, "''");
  return `Zoomed in: ${points} in view, thinned from what was logged. All of it, in runs.duckdb: select run_id, step, value from history where metric = '${name}' and step between ${low} and ${high} order by all. ${back}`;
}

// What is not drawn, in words: nobody would miss it by looking.
function sayLeftOut(chart, panels) {
  const says = panels.length ? [sayLacking(panels), sayLow(panels), sayAstray(panels), sayZoomed(chart, panels)] : [];
  byId(`says-${chart.key}`).textContent = says.filter(Boolean).join(' ');
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

function startPlanes() {
  document.body.append(tip, spoken);
  for (const chart of PLANES) planesNear.set(chart, whenNear(plotOf(chart), () => drawPlane(chart)));
  listen(['shown', 'colours', 'options', 'zoom', 'x', 'smooth', 'at', 'theme'], () => {
    for (const near of planesNear.values()) near.makeAgain();
  });
  listen(['highlight', 'pins', 'baseline'], () => {
    for (const [chart, near] of planesNear) near.catchUp(() => relight(chart));
  });
}

atlas.planes = drawnPlanes;
