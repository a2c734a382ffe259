// Scenes: made when they come near the view, drawn one after the other, redrawn on a change.

const CONFIG = {
  displayModeBar: false,
  displaylogo: false,
  responsive: true,
  scrollZoom: false, // the wheel scrolls the page; a pinch or the right button zooms
  showSendToCloud: false,
  plotlyServerURL: '',
  doubleClick: 'reset',
  plotGlPixelRatio: Math.min(2, Math.max(1, devicePixelRatio)), // plotly's own 2 fills four times as many pixels
};

const SCENES = report.charts.filter(({ kind }) => kind === 'scene');
const plotOf = (chart) => byId(`plot-${chart.key}`);
const scenes = new Map(); // chart key -> { traces, camera } of the last drawing
const near = new Set(); // scenes in view or close to it
const needs = new Map(SCENES.map((chart) => [chart, new Set(['draw'])])); // draw, rows, colours, lit
const queued = new Set();
let pending = 0;
let queue = Promise.resolve();
let playing = false;

const nextFrame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));

function cameraOf(chart) {
  return layoutOf(chart).scene.camera;
}

async function draw(chart) {
  const element = plotOf(chart);
  const traces = resolvedTraces(chart);
  const layout = layoutOf(chart);
  const first = !scenes.has(chart.key);
  await Plotly.react(element, traces.map(({ plotly }) => plotly), layout, CONFIG);
  scenes.set(chart.key, { traces, camera: state.camera[chart.key] });
  sayDrawn(chart);
  if (first) listenToScene(chart, element);
  element.classList.add('drawn');
  followScene(chart);
}

function sayDrawn(chart) {
  const drawn = drawnPoints(chart, scenes.get(chart.key).traces);
  atlas.drawn[chart.key] = drawn;
  showEmpty(chart, drawn);
}

// The labels follow the camera; a scene that had lost its context has another glplot.
function followScene(chart) {
  const { glplot } = glOf(chart);
  setPointable(chart);
  if (glplot.followed) return placeLabels(chart);
  glplot.followed = true;
  const render = glplot.onrender;
  glplot.onrender = () => {
    const { selection } = glplot;
    // what the pointer is over may have lost its vertices to a filter: plotly would fail on it
    if (selection && !selection.dataCoordinate) selection.object = null;
    render();
    placeLabels(chart);
  };
  return redrawScene(chart);
}

async function work(chart) {
  const wanted = needs.get(chart);
  needs.set(chart, new Set());
  if (wanted.has('draw')) {
    await draw(chart);
    return;
  }
  if (wanted.has('rows')) updateRows(chart);
  if (wanted.has('colours')) updateColours(chart);
  else if (wanted.has('lit') && !wanted.has('rows')) updateLit(chart);
}

// What is in view now; the others one at a time, and what is far waits until it comes near.
function freshen(chart, need) {
  const wanted = needs.get(chart);
  if (need) wanted.add(need);
  if (!atlas.webgl || !window.Plotly || !near.has(chart) || queued.has(chart) || !wanted.size) return;
  const visible = inView(plotOf(chart));
  if (playing && scenes.has(chart.key) && !visible) return; // until it is, or stands still
  if (visible && !wanted.has('draw')) {
    work(chart).catch(complain); // nothing of it waits
    return;
  }
  queued.add(chart);
  pending += 1;
  queue = queue.then(nextFrame).then(async () => {
    queued.delete(chart);
    try {
      await work(chart);
      announce();
    } catch (problem) {
      complain(problem);
    } finally {
      pending -= 1;
    }
  });
}

const freshenAll = (need) => SCENES.forEach((chart) => freshen(chart, need));

function announce() {
  if (!performance.getEntriesByName('first-3d').length) performance.mark('first-3d');
  atlas.ready = SCENES.every((chart) => scenes.has(chart.key));
}

function watchScenes() {
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        const chart = SCENES.find((one) => plotOf(one) === target);
        if (!isIntersecting) near.delete(chart);
        else {
          near.add(chart);
          freshen(chart);
        }
      }
    },
    { rootMargin: '500px' },
  );
  for (const chart of SCENES) watcher.observe(plotOf(chart));
}

function listenToScenes() {
  listen(['shown', 'at'], () => freshenAll('rows'));
  listen(['colours'], (keys) => freshenAll(keys.has('theme') ? 'draw' : 'colours'));
  listen(['highlight', 'pins', 'baseline'], () => freshenAll('lit'));
  systemDark.addEventListener('change', () => state.theme || freshenAll('draw'));
  let options = state.options;
  listen(['options'], () => {
    for (const chart of SCENES) if (options[chart.key] !== state.options[chart.key]) freshen(chart, 'draw');
    options = state.options;
  });
  listen(['camera'], () => {
    for (const chart of SCENES) {
      const scene = scenes.get(chart.key);
      if (!scene || scene.camera === state.camera[chart.key]) continue;
      scene.camera = state.camera[chart.key];
      Plotly.relayout(plotOf(chart), { 'scene.camera': cameraOf(chart) });
    }
  });
}

const inView = (element) => {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
};

function showEmpty(chart, drawn) {
  const note = plotOf(chart).parentElement.querySelector('.empty');
  note.hidden = drawn > 0;
}

function hasWebGL() {
  try {
    const canvas = document.createElement('canvas');
    return Boolean(canvas.getContext('webgl2') || canvas.getContext('webgl'));
  } catch {
    return false;
  }
}

const loadPlotly = () => window.__parts.run('plotly');
