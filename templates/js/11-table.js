// The runs table: the page came with its rows, which are sorted, hidden and marked here.

const body = byId('runs-table').tBodies[0];
const rows = [...body.rows].sort((a, b) => a.dataset.run - b.dataset.run);

function compare(values, direction) {
  return (a, b) => {
    const [x, y] = [values[a], values[b]];
    const gone = (value) => value === null || Number.isNaN(value);
    if (gone(x) || gone(y)) return gone(x) - gone(y) || a - b; // not measured comes last either way
    if (typeof x === 'number' && typeof y === 'number') return (x - y) * direction || a - b;
    return String(x).localeCompare(String(y), 'en', { numeric: true }) * direction || a - b;
  };
}

function sortBy(header) {
  const next = header.ariaSort === 'ascending' ? 'descending' : 'ascending';
  for (const other of header.parentElement.cells) other.removeAttribute('aria-sort');
  header.setAttribute('aria-sort', next);
  const { values } = report.columns[header.dataset.key];
  const order = [...rows.keys()].sort(compare(values, next === 'ascending' ? 1 : -1));
  body.append(...order.map((run) => rows[run]));
}

function filterRows() {
  rows.forEach((row, run) => {
    row.hidden = !shown[run];
  });
  byId('no-runs').hidden = atlas.visible > 0;
}

function markRow(run) {
  for (const row of body.querySelectorAll('.marked')) row.classList.remove('marked');
  if (run >= 0) rows[run].classList.add('marked');
}

function showPinned() {
  const chip = byId('pinned');
  chip.hidden = state.pinned < 0;
  for (const row of rows) row.removeAttribute('aria-selected');
  if (state.pinned < 0) return;
  const row = rows[state.pinned];
  row.setAttribute('aria-selected', 'true');
  byId('pinned-name').textContent = clipped(report.runs.name[state.pinned]);
  byId('pinned-name').href = `#run-${state.pinned}`;
  const frame = byId('runs-frame');
  frame.scrollTop = row.offsetTop - frame.clientHeight / 2;
}

function listenToTable() {
  for (const header of byId('runs-table').tHead.rows[0].cells) {
    header.querySelector('button').addEventListener('click', () => sortBy(header));
  }
  body.addEventListener('pointerover', ({ target }) => {
    const row = target.closest('tr');
    if (row) highlight(Number(row.dataset.run));
  });
  body.addEventListener('pointerleave', () => highlight(state.pinned));
  body.addEventListener('click', ({ target }) => {
    const row = target.closest('tr');
    if (row && !target.closest('a')) pin(Number(row.dataset.run));
  });
}
