// The bar and each chart's own choices -> the state, and a redraw.

function listenToStages() {
  for (const chip of byId('stages').querySelectorAll('button')) {
    chip.addEventListener('click', () => {
      const stage = Number(chip.dataset.stage);
      if (!state.hidden.delete(stage)) state.hidden.add(stage);
      chip.setAttribute('aria-pressed', String(!state.hidden.has(stage)));
      applyFilter();
    });
  }
}

function listenToFilter() {
  const box = byId('filter');
  let timer = 0;
  box.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      state.query = box.value;
      applyFilter();
    }, 150);
  });
}

function listenToColour() {
  const select = byId('colour');
  select.addEventListener('change', () => {
    state.colour = select.value || null;
    redraw();
  });
}

// A choice of a chart, and everything on the page that holds only for one choice of it.
function choose(chart, option, value) {
  state.options[chart.key][option] = value;
  const card = byId(`chart-${chart.key}`);
  for (const part of card.querySelectorAll(`[data-option="${option}"]`)) {
    part.hidden = part.dataset.choice !== value;
  }
  return scenes.has(chart.key) ? enqueue(chart) : queue;
}

function listenToOptions(chart) {
  for (const input of byId(`chart-${chart.key}`).querySelectorAll('.options input')) {
    input.addEventListener('change', () => choose(chart, input.dataset.of, input.value));
  }
}

function listenToButtons(chart) {
  const card = byId(`chart-${chart.key}`);
  card.querySelector('.reset').addEventListener('click', () => {
    if (!scenes.has(chart.key)) return;
    const plot = plotOf(chart);
    const options = { ...state.options[chart.key], room: roomOf(plot) };
    const { camera } = fitted(resolved(chart.layout, options), plot).scene;
    Plotly.relayout(plot, { 'scene.camera': camera });
  });
  card.querySelector('.save').addEventListener('click', () => {
    if (!scenes.has(chart.key)) return;
    const filename = `${report.project}-${chart.key}-${report.snapshot}`;
    Plotly.downloadImage(plotOf(chart), { format: 'png', scale: 2, filename, width: 1400, height: 800 });
  });
}

function showTheme() {
  const dark = themeName() === 'dark';
  if (state.theme) document.documentElement.dataset.theme = state.theme;
  const button = byId('theme');
  button.setAttribute('aria-pressed', String(dark));
  button.title = dark ? 'Change to light' : 'Change to dark';
}

function listenToTheme() {
  byId('theme').addEventListener('click', () => {
    state.theme = themeName() === 'dark' ? 'light' : 'dark';
    showTheme();
    redraw();
  });
  systemDark.addEventListener('change', () => {
    showTheme();
    if (!state.theme) redraw();
  });
}

function listenToKeys() {
  document.addEventListener('keydown', (event) => {
    const typing = event.target.closest('input, select, textarea');
    if (event.key === 'Escape' && state.pinned >= 0) pin(state.pinned);
    if (event.key === '/' && !typing) {
      event.preventDefault();
      byId('filter').focus();
    }
  });
  byId('unpin').addEventListener('click', () => pin(state.pinned));
}

// A chart that became narrow or wide has another camera and other labels.
function listenToWidth() {
  let timer = 0;
  const rooms = new Map();
  const watcher = new ResizeObserver(() => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      for (const chart of SCENES) {
        const room = roomOf(plotOf(chart));
        if (rooms.has(chart.key) && rooms.get(chart.key) !== room && scenes.has(chart.key)) enqueue(chart);
        rooms.set(chart.key, room);
      }
    }, 200);
  });
  for (const chart of SCENES) watcher.observe(plotOf(chart));
}
