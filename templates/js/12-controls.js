// The bar and each chart's own choices <-> the state.

function listenToStages() {
  const chips = [...byId('stages').querySelectorAll('button')];
  for (const chip of chips) {
    chip.addEventListener('click', () => {
      const hidden = new Set(state.hidden);
      const stage = Number(chip.dataset.stage);
      if (!hidden.delete(stage)) hidden.add(stage);
      change({ hidden });
    });
  }
  listen(['hidden'], () => {
    for (const chip of chips) chip.setAttribute('aria-pressed', String(!state.hidden.has(Number(chip.dataset.stage))));
  });
}

function listenToFilter() {
  const box = byId('filter');
  let typed = 0; // the timer of what was typed and does not filter yet
  box.addEventListener('input', () => {
    clearTimeout(typed);
    typed = setTimeout(() => {
      typed = 0;
      change({ query: box.value });
    }, 150);
  });
  listenToSuggestions(box, byId('suggestions'));
  listen(['query'], () => {
    if (!typed && box.value !== state.query) box.value = state.query; // a slow frame comes after more was typed
  });
  listen(['shown'], showCount);
}

// A control whose value is one key of the state.
function bind(id, key, event, read = (text) => text) {
  const control = byId(id);
  const show = () => {
    control.value = String(state[key]);
  };
  control.addEventListener(event, () => change({ [key]: read(control.value) }));
  listen([key], show);
  show();
}

// A choice of a chart, and everything on the page that holds only for one choice of it.
function showOptions(chart) {
  const card = byId(`chart-${chart.key}`);
  for (const part of card.querySelectorAll('[data-option]')) {
    part.hidden = part.dataset.choice !== state.options[chart.key][part.dataset.option];
  }
  for (const control of card.querySelectorAll('.options [data-of]')) {
    const chosen = state.options[chart.key][control.dataset.of];
    if (control.type === 'radio') control.checked = control.value === chosen;
    else control.value = chosen;
  }
}

function listenToOptions(chart) {
  for (const control of byId(`chart-${chart.key}`).querySelectorAll('.options [data-of]')) {
    control.addEventListener('change', () =>
      changeOf(chart, 'options', { ...state.options[chart.key], [control.dataset.of]: control.value }),
    );
  }
  listen(['options'], () => showOptions(chart));
}

function listenToButtons(chart) {
  const card = byId(`chart-${chart.key}`);
  for (const button of card.querySelectorAll('[data-look]')) {
    button.addEventListener('click', () => lookFrom(chart, button.dataset.look));
  }
}

function showTheme() {
  const dark = themeName() === 'dark';
  if (state.theme) document.documentElement.dataset.theme = state.theme;
  else delete document.documentElement.dataset.theme;
  const button = byId('theme');
  button.setAttribute('aria-pressed', String(dark));
  button.title = dark ? 'Change to light' : 'Change to dark';
}

function listenToTheme() {
  byId('theme').addEventListener('click', () => change({ theme: themeName() === 'dark' ? 'light' : 'dark' }));
  listen(['theme'], showTheme);
  systemDark.addEventListener('change', () => {
    showTheme();
    showLegends();
  });
}

function listenToKeys() {
  document.addEventListener('keydown', (event) => {
    const typing = event.target.closest('input, select, textarea');
    if (event.key === 'Escape' && state.open < 0 && state.pins.length) change({ pins: [] });
    if (event.key === '/' && !typing) {
      event.preventDefault();
      byId('filter').focus();
    }
  });
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
        if (rooms.has(chart.key) && rooms.get(chart.key) !== room) freshen(chart, 'draw');
        rooms.set(chart.key, room);
      }
    }, 200);
  });
  for (const chart of SCENES) watcher.observe(plotOf(chart));
}
