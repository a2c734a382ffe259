// The stills of the scenes: shown until WebGL has drawn, instead of it where there is none, and
// to the printer. They follow the filter and the colours; the camera stays the first one's.

function colourPosters() {
  for (const chart of SCENES) {
    const { colours } = colourOf(chart);
    const own = !state.colour && !printing && !state.scale && !state.log; // as they came, in the theme's variables
    for (const group of byId(`chart-${chart.key}`).querySelectorAll('.poster g')) {
      group.firstCame ??= group.style.color;
      group.style.color = own ? group.firstCame : colours[group.dataset.run];
    }
  }
}

function filterPosters() {
  for (const part of document.querySelectorAll('.poster [data-run]')) {
    part.style.display = shown[part.dataset.run] ? '' : 'none';
  }
}

function lightPosters() {
  const chosen = [...state.pins, state.highlight].filter((run) => run >= 0);
  for (const svg of document.querySelectorAll('.poster')) {
    svg.classList.toggle('lit', chosen.length > 0);
    for (const part of svg.querySelectorAll('g')) part.classList.toggle('chosen', chosen.includes(Number(part.dataset.run)));
  }
}

// Nothing of it is seen where every scene has drawn, until somebody prints.
const whileShown = (draw) => () => {
  if (!atlas.ready || !atlas.webgl || printing) draw();
};

function listenToPosters() {
  listen(['shown'], whileShown(filterPosters));
  listen(['colours'], whileShown(colourPosters));
  listen(['highlight', 'pins'], whileShown(lightPosters));
}

// Paper is white and of one width, so everything is drawn once more for it, and again afterwards.
function redrawEverything() {
  filterPosters();
  colourPosters();
  for (const chart of PLANES) drawPlane(chart);
  for (const chart of PARALLEL) drawParallelOf(chart);
  for (const chart of report.charts) showLegend(chart, colourOf(chart));
}

function setPrinting(now) {
  printing = now;
  document.documentElement.classList.toggle('printing', now);
  redrawEverything();
}

addEventListener('beforeprint', () => setPrinting(true));
addEventListener('afterprint', () => setPrinting(false));
