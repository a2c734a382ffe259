// Pins, one baseline and the runs ticked in the table: tools in each row, chips in the bar, and how
// far everything is from the baseline.

const HEADERS = [...byId('runs-table').tHead.rows[0].cells].map((header) => header.dataset.key);
const COMPARED = ['bpb', 'loss', 'accuracy'];

// How far a value is from that of the baseline, in words; '' where there is none to compare with.
function deltaWords(value, base) {
  if (!isNumber(value) || !isNumber(base)) return '';
  const difference = value - base;
  if (difference === 0) return '±0';
  return `${difference > 0 ? '+' : '−'}${number(Number(Math.abs(difference).toPrecision(4)))}`;
}

function deltaOf(run, key) {
  const { numeric, values } = report.columns[key] || {};
  return numeric && state.baseline >= 0 && run !== state.baseline ? deltaWords(values[run], values[state.baseline]) : '';
}

// What a hover says of a run beside the baseline.
function againstBaseline(run) {
  const said = COMPARED.map((key) => [key, deltaOf(run, key)]).filter(([, delta]) => delta);
  if (!said.length) return [];
  const title = element('p', 'tip-base', element('span', '', 'against'), element('bdi', '', clipped(report.runs.name[state.baseline])));
  return [title, ...said.map(([key, delta]) => element('p', '', element('span', '', report.columns[key].label), element('b', '', delta)))];
}

function showDeltas() {
  for (const old of body.querySelectorAll('.delta')) old.remove();
  if (state.baseline < 0) return;
  rows.forEach((row, run) => {
    HEADERS.forEach((key, at) => {
      const delta = at > 0 && deltaOf(run, key);
      if (delta) row.cells[at].append(element('small', 'delta', delta));
    });
  });
}

const setBaseline = (run) => change({ baseline: run === state.baseline ? -1 : run });

function rowTool(action, label, text) {
  const button = element('button', `tool ${action}`, text);
  Object.assign(button, { type: 'button', title: label });
  button.dataset.action = action;
  button.setAttribute('aria-pressed', 'false');
  return button;
}

function addTools(row, run) {
  const name = clipped(report.runs.name[run]);
  const tick = element('input', 'tick');
  Object.assign(tick, { type: 'checkbox', title: 'Tick, shift-click for all between' });
  const tools = [rowTool('pin', 'Pin in the charts (p)', '◉'), rowTool('base', 'Compare with this run (b)', 'Δ')];
  tick.setAttribute('aria-label', `Tick ${name}`);
  tools[0].setAttribute('aria-label', `Pin ${name}`);
  tools[1].setAttribute('aria-label', `Baseline ${name}`);
  row.cells[0].prepend(tick);
  row.cells[0].append(element('span', 'tools', ...tools));
}

let lastTicked = -1;
const tickOf = (run) => rows[run].querySelector('.tick');
const tickedRuns = () => [...rows.keys()].filter((run) => tickOf(run).checked);

// From the row ticked last to this one, in the order in which they stand.
function tickBetween(run, checked) {
  const standing = [...body.rows].filter((row) => !row.hidden).map((row) => Number(row.dataset.run));
  const [from, to] = [standing.indexOf(lastTicked), standing.indexOf(run)].sort((a, b) => a - b);
  if (from >= 0) for (const one of standing.slice(from, to + 1)) tickOf(one).checked = checked;
}

function showTicked() {
  const amount = tickedRuns().length;
  byId('ticked').hidden = amount === 0;
  byId('ticked-amount').textContent = `${counted(amount, 'run')} ticked`;
}

function clearTicks() {
  for (const run of tickedRuns()) tickOf(run).checked = false;
  showTicked();
}

function chip(label, run, clear) {
  const made = element('span', 'pinned', label);
  if (run >= 0) {
    const dot = element('i', 'swatch');
    dot.style.background = colouring(state.colour || 'stage').colours[run];
    made.append(dot, linkTo(run));
  }
  const remove = element('button', '', '×');
  remove.type = 'button';
  remove.setAttribute('aria-label', run >= 0 ? `${label} ${clipped(report.runs.name[run])}: no longer` : `${label}: no longer`);
  remove.addEventListener('click', clear);
  made.append(remove);
  return made;
}

const MOST_CHIPS = 6;

function showChips() {
  const { pins, baseline, selected } = state;
  const chips = [];
  if (baseline >= 0) chips.push(chip('baseline', baseline, () => change({ baseline: -1 })));
  for (const run of pins.slice(0, MOST_CHIPS)) chips.push(chip('', run, () => pin(run)));
  if (pins.length > 1) chips.push(chip(`${pins.length} pinned`, -1, () => change({ pins: [] })));
  if (selected) chips.push(chip(`${counted(chosenRuns(selected).length, 'run')} selected`, -1, () => change({ selected: null })));
  byId('pinned').replaceChildren(...chips);
  byId('pinned').hidden = chips.length === 0;
}

function showMarks() {
  rows.forEach((row, run) => {
    const pinned = state.pins.includes(run);
    if (pinned) row.setAttribute('aria-selected', 'true');
    else row.removeAttribute('aria-selected');
    row.classList.toggle('baseline', run === state.baseline);
    const [pinTool, baseTool] = row.querySelectorAll('.tool');
    pinTool.setAttribute('aria-pressed', String(pinned));
    baseTool.setAttribute('aria-pressed', String(run === state.baseline));
  });
}

// A run that was pinned in a chart is brought into sight within the table's own frame.
function showLastPin() {
  const last = state.pins[state.pins.length - 1];
  if (last === undefined || rows[last].matches(':hover, :focus-within')) return;
  const frame = byId('runs-frame');
  frame.scrollTop = rows[last].offsetTop - frame.clientHeight / 2;
}

function listenToPins() {
  rows.forEach(addTools);
  body.addEventListener('click', (event) => {
    const row = event.target.closest('tr');
    const run = row && Number(row.dataset.run);
    if (event.target.matches('.tick')) {
      if (event.shiftKey) tickBetween(run, event.target.checked);
      lastTicked = run;
      showTicked();
    } else if (event.target.closest('[data-action="pin"]')) pin(run);
    else if (event.target.closest('[data-action="base"]')) setBaseline(run);
  });
  body.addEventListener('keydown', (event) => {
    const row = event.target.closest('tr');
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'p') pin(Number(row.dataset.run));
    if (event.key === 'b') setBaseline(Number(row.dataset.run));
  });
  const withTicked = (make) => () => {
    change(make(tickedRuns()));
    clearTicks();
  };
  byId('ticked-only').addEventListener('click', withTicked((runs) => ({ selected: Uint8Array.from(rows, (_, run) => Number(runs.includes(run))) })));
  byId('ticked-pin').addEventListener('click', withTicked((runs) => ({ pins: [...new Set([...state.pins, ...runs])] })));
  byId('ticked-clear').addEventListener('click', clearTicks);
  listen(['pins', 'baseline', 'selected', 'colours'], showChips);
  listen(['pins', 'baseline'], showMarks);
  listen(['pins'], showLastPin);
  listen(['baseline'], showDeltas);
}
