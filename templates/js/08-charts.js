// Scenes: made when they come near the view, drawn one after the other, redrawn on a change.

const CONFIG = {
  displayModeBar: false,
  displaylogo: false,
  responsive: true,
  scrollZoom: false, // the wheel scrolls the page; a pinch or the right button zooms
  showSendToCloud: false,
  plotlyServerURL: '',
  doubleClick: 'reset',
};

const SCENES = report.charts.filter(({ kind }) => kind === 'scene');
const plotOf = (chart) => byId(`plot-${chart.key}`);
const scenes = new Map(); // chart key -> { rows } of the last drawing
const waiting = new Set();
let pending = 0;
let queue = Promise.resolve();

const nextFrame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));

async function draw(chart) {
  const element = plotOf(chart);
  const { data, layout, rows, colour, drawn } = figure(chart, element);
  const first = !scenes.has(chart.key);
  await Plotly.react(element, data, layout, CONFIG);
  scenes.set(chart.key, { rows });
  atlas.drawn[chart.key] = drawn;
  showLegend(chart, colour);
  showEmpty(chart, drawn);
  if (first) listenToScene(chart, element);
  element.classList.add('drawn');
}

// One at a time, and a chart that waits already need not wait twice.
function enqueue(chart) {
  if (waiting.has(chart.key)) return queue;
  waiting.add(chart.key);
  pending += 1;
  queue = queue.then(nextFrame).then(async () => {
    waiting.delete(chart.key);
    try {
      await draw(chart);
    } catch (problem) {
      complain(problem);
    } finally {
      pending -= 1;
    }
  });
  return queue;
}

function redraw(charts = SCENES) {
  for (const chart of charts) if (scenes.has(chart.key)) enqueue(chart);
  return queue;
}

function runAt(chart, event) {
  const point = event.points && event.points[0];
  const at = point && scenes.get(chart.key).rows[point.curveNumber];
  const row = at ? at.rows[point.pointNumber] : -1;
  return row >= 0 ? at.table.run[row] : -1;
}

function listenToScene(chart, element) {
  let under = -1; // the run under the pointer
  let down = [0, 0];
  element.on('plotly_hover', (event) => {
    under = runAt(chart, event);
    highlight(under);
  });
  element.on('plotly_unhover', () => {
    under = -1;
    highlight(-1);
  });
  // plotly's own click is lost when the button goes down and up between two slow frames
  element.addEventListener('pointerdown', ({ clientX, clientY }) => {
    down = [clientX, clientY];
  }, true);
  element.addEventListener('click', ({ clientX, clientY }) => {
    if (under >= 0 && Math.hypot(clientX - down[0], clientY - down[1]) < 5) pin(under);
  });
}

// Only the overlay traces change: a react of all would take ten times as long.
function redrawHighlight(chart) {
  const { rows } = scenes.get(chart.key);
  const options = { ...state.options[chart.key], room: roomOf(plotOf(chart)) };
  chart.traces.forEach((trace, i) => {
    if (trace.only !== 'highlight') return;
    const { plotly, at } = resolveTrace(trace, options, []);
    rows[i] = at;
    const { x, y, z, text } = plotly;
    Plotly.restyle(plotOf(chart), { x: [x], y: [y], z: [z], text: [text] }, [i]);
  });
}

const inView = (element) => {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
};

// A chart that is out of view is drawn again when it comes into view.
const behind = new Set();
const entering = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    entering.unobserve(target);
    const chart = SCENES.find((one) => plotOf(one) === target);
    if (behind.delete(chart)) redrawHighlight(chart);
  }
});

function showHighlight() {
  for (const chart of SCENES) {
    if (!scenes.has(chart.key)) continue;
    if (inView(plotOf(chart))) {
      behind.delete(chart);
      redrawHighlight(chart);
    } else {
      behind.add(chart);
      entering.observe(plotOf(chart));
    }
  }
}

let highlightTimer = 0;
function listenToHighlight() {
  listen(['highlight', 'pins'], () => {
    clearTimeout(highlightTimer);
    highlightTimer = setTimeout(showHighlight, 40);
  });
}

const highlight = (run) => change({ highlight: run });

// What was pinned is unpinned.
function pin(run) {
  const pins = state.pins.filter((other) => other !== run);
  if (pins.length === state.pins.length) pins.push(run);
  change({ pins });
}

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

// The bundle is unpacked and run as a script of its own, whose hash the page's policy names.
async function loadPlotly() {
  const source = new TextDecoder().decode(await gunzip(bytesOf(byId('plotly').textContent)));
  const script = document.createElement('script');
  script.textContent = source;
  document.head.append(script);
}

function drawWhenNear() {
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        watcher.unobserve(target);
        enqueue(SCENES.find((chart) => plotOf(chart) === target)).then(announce);
      }
    },
    { rootMargin: '300px' },
  );
  for (const chart of SCENES) watcher.observe(plotOf(chart));
}

function announce() {
  if (!performance.getEntriesByName('first-3d').length) performance.mark('first-3d');
  atlas.ready = SCENES.every((chart) => scenes.has(chart.key));
}
