// The section of one run, made when it is opened: from a link to a run, or from `#run-...`.

const sheet = byId('sheet');
let opener = null; // where the focus goes back to

function sheetHead(run) {
  const stage = report.runs.stage[run];
  const title = element('h2', '', bdi(report.runs.name[run].slice(0, LONGEST_NAME * 3)));
  title.id = 'sheet-title';
  const state = element('p', 'status', symbol(report.runs.symbol[run], `stage-${stage}`), report.runs.status[run]);
  const actions = element('div', 'actions', pinButton(run), baselineButton(run), sheetButton('Show the run in the table', 'To the table', () => showRow(run)));
  const close = sheetButton('Close', '×', () => sheet.close());
  close.className = 'quiet close';
  return element('header', '', close, state, title, actions);
}

function sheetButton(label, text, act) {
  const button = element('button', 'plain', text);
  button.type = 'button';
  button.ariaLabel = label;
  button.addEventListener('click', act);
  return button;
}

// A button that does one thing or undoes it, and says which.
function sheetSwitch(isOn, act, [label, text], [undoes, undoText]) {
  const is = isOn();
  const button = sheetButton(is ? undoes : label, is ? undoText : text, () => {
    act(); // which changes the state at once
    const next = sheetSwitch(isOn, act, [label, text], [undoes, undoText]);
    button.replaceWith(next);
    next.focus();
  });
  return button;
}

const pinButton = (run) =>
  sheetSwitch(() => state.pins.includes(run), () => pin(run), ['Pin the run', 'Pin'], ['Unpin the run', 'Unpin']);

const baselineButton = (run) =>
  sheetSwitch(
    () => state.baseline === run,
    () => setBaseline(run),
    ['Compare all with this run', 'Make it the baseline'],
    ['Compare with this run no longer', 'Baseline no longer'],
  );

function showRow(run) {
  sheet.close();
  const row = byId(`run-${run}`);
  row.scrollIntoView({ block: 'center', behavior: calm.matches ? 'auto' : 'smooth' });
  row.querySelector('a, button')?.focus({ preventScroll: true });
}

async function showSheet() {
  const run = state.open;
  if (run < 0) {
    sheet.close();
    return;
  }
  if (!sheet.open) opener = document.activeElement;
  const details = await loadDetails();
  if (state.open !== run) return; // another one was asked for meanwhile
  sheet.replaceChildren(
    sheetHead(run),
    factsPart(details, run),
    ...kinPart(run),
    ...summaryPart(details, run),
    ...settingsPart(details, run),
    ...segmentsPart(details, run),
    ...machinePart(details, run),
    ...originPart(details, run),
    ...consolePart(details, run),
  );
  for (const frame of sheet.querySelectorAll('.frame')) frame.tabIndex = 0; // it scrolls
  if (!sheet.open) sheet.showModal();
  sheet.scrollTop = 0;
}

// `#run-3` is the run in its place on this page, `#run-<id>` the run of that id on any page.
function runOf(hash) {
  if (!hash.startsWith('#run-')) return -1;
  let wanted = hash.slice('#run-'.length);
  try {
    wanted = decodeURIComponent(wanted);
  } catch {
    // not encoded: taken as it is
  }
  const named = report.columns.id.values.indexOf(wanted);
  if (named >= 0) return named;
  return /^\d+$/.test(wanted) && Number(wanted) < RUNS ? Number(wanted) : -1;
}

function openFromAddress() {
  const run = runOf(location.hash);
  if (run >= 0) change({ open: run });
}

function listenToSheet() {
  document.addEventListener('click', (event) => {
    const link = event.target.closest?.('a[href^="#run-"]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault(); // the address stays as it is: it holds the view
    change({ open: runOf(link.getAttribute('href')) });
  });
  sheet.addEventListener('click', ({ target }) => {
    if (target === sheet) sheet.close(); // beside it
  });
  sheet.addEventListener('close', () => {
    change({ open: -1 });
    // the view's own fragment follows; this one is not of the view
    if (runOf(location.hash) >= 0) history.replaceState(null, '', location.pathname + location.search);
    opener?.focus?.({ preventScroll: true });
  });
  listen(['open'], () => showSheet().catch(complain));
  addEventListener('hashchange', openFromAddress);
  openFromAddress();
}
