// A finger is over nothing before it comes down, nor after: a tap says what is there until the next
// one, and a second tap on the same run does what a click does.

const TAPPED = 10; // pixels: more is a swipe
const FINGER = 28; // pixels around its middle that it may mean
let byTouch = false; // the last pointer was a finger
let lastTap = { plot: null, run: -1 };

// A click says itself what made it, but for browsers in which it is no pointer's event.
const isOfTouch = ({ pointerType }) => (pointerType ? pointerType === 'touch' : byTouch);

// On a tap, tapped(event) shows what is there and returns which run that is, or -1.
function listenToTaps(plot, tapped) {
  let down = null;
  plot.addEventListener('pointerdown', (event) => {
    down = event.pointerType === 'touch' && event.isPrimary ? event : null;
  }, true);
  plot.addEventListener('pointerup', (event) => {
    const far = down ? Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) : Infinity;
    down = null;
    if (far > TAPPED) return;
    const run = tapped(event);
    if (run >= 0 && lastTap.plot === plot && lastTap.run === run) pin(run);
    lastTap = { plot, run };
  }, true);
}

// Of a scene's rows the one that is drawn nearest to a place, as rowAt gives it.
function nearestDrawn(chart, { clientX, clientY }) {
  const plot = plotOf(chart);
  const gl = glOf(chart);
  const frame = plot.getBoundingClientRect();
  const project = projector(gl, plot);
  let best = null;
  let least = FINGER;
  scenes.get(chart.key).traces.forEach(({ plotly, at }, place) => {
    const trace = chart.traces[place];
    if (!trace.hover) return;
    positions(plotly, gl).forEach((vertex, i) => {
      const [left, top] = project(vertex);
      const far = Math.hypot(left + frame.left - clientX, top + frame.top - clientY);
      if (!(far < least) || at.rows[i] < 0) return;
      least = far;
      best = { trace, at, row: at.rows[i], run: at.table.run[at.rows[i]] };
    });
  });
  return best;
}

// What the last tap said goes when a finger comes down; if beside all charts, so does its light.
function listenToFingers() {
  document.addEventListener('pointermove', ({ pointerType, movementX, movementY }) => {
    // what moves by nothing is made up by the browser, where something else is under an old place
    if (pointerType === 'mouse' && (movementX || movementY)) byTouch = false;
  }, true);
  document.addEventListener('pointerdown', ({ pointerType, target }) => {
    byTouch = pointerType === 'touch';
    if (!byTouch) return;
    tip.hidden = sceneTip.hidden = true;
    if (target.closest('[id^="plot-"]')) return;
    lastTap = { plot: null, run: -1 };
    for (const panel of [...drawnPlanes.values()].flat()) panel.cursor = null;
    if (state.highlight >= 0) highlight(-1);
  }, true);
}
