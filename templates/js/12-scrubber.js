// The scrubber: how far training has been played. While it plays the scenes move heads and reveal
// lines, with fewer vertices (resolve.js), and say their labels again when it stops.

const PLAY_SECONDS = 12;
const CALM_STEPS = 12; // for those who asked for less motion: one still a second

let lastTick = 0;

function setPlaying(plays) {
  if (plays === playing) return;
  playing = plays;
  lastTick = performance.now();
  const button = byId('play');
  button.setAttribute('aria-pressed', String(plays));
  button.title = plays ? 'Stop (p)' : 'Play training along the steps (p)';
  if (plays) {
    if (state.at === null || state.at >= 1) change({ at: 0 });
    requestAnimationFrame(tick);
  } else {
    freshenAll('rows'); // whole lines again
    showOpenRows();
  }
}

// The next frame is asked for when the last one is drawn, however long that took.
function tick(now) {
  if (!playing) return;
  const seconds = (now - lastTick) / 1000;
  const due = calm.matches ? seconds >= 1 : pending === 0;
  if (due) {
    const at = state.at + (calm.matches ? 1 / CALM_STEPS : Math.min(seconds, 1) / PLAY_SECONDS);
    lastTick = now;
    if (at >= 1) {
      change({ at: null });
      setPlaying(false);
      return;
    }
    change({ at });
  }
  requestAnimationFrame(tick);
}

function showScrubber() {
  const slider = byId('at');
  const share = state.at ?? 1;
  const step = grouped(Math.round(share * LAST_STEP), 0);
  slider.value = String(Math.round(share * 1000));
  slider.setAttribute('aria-valuetext', state.at === null ? 'all of training' : `step ${step} of ${grouped(LAST_STEP, 0)}`);
  byId('at-words').textContent = state.at === null ? 'all steps' : `step ${step}`;
}

function listenToScrubber() {
  byId('play').addEventListener('click', () => setPlaying(!playing));
  byId('at').addEventListener('input', ({ target }) => {
    setPlaying(false);
    change({ at: target.value === target.max ? null : Number(target.value) / 1000 });
  });
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'p' || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!event.target.closest('input, select, textarea, dialog, tbody')) setPlaying(!playing);
  });
  listen(['at'], showScrubber);
  showScrubber();
}
