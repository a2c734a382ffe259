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

function sortRows() {
  const { key, descending } = state.sort || {};
  for (const header of byId('runs-table').tHead.rows[0].cells) {
    if (header.dataset.key !== key) header.removeAttribute('aria-sort');
    else header.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
  }
  const order = [...rows.keys()];
  if (state.sort) order.sort(compare(report.columns[key].values, descending ? -1 : 1));
  body.append(...order.map((run) => rows[run]));
}

function filterRows() {
  rows.forEach((row, run) => {
    row.hidden = !shown[run];
  });
  byId('no-runs').hidden = atlas.visible > 0;
}

function markRow() {
  for (const row of body.querySelectorAll('.marked')) row.classList.remove('marked');
  if (state.highlight >= 0) rows[state.highlight].classList.add('marked');
}

function listenToTable() {
  for (const header of byId('runs-table').tHead.rows[0].cells) {
    header.querySelector('button').addEventListener('click', () => {
      const { key } = header.dataset;
      change({ sort: { key, descending: state.sort?.key === key && !state.sort.descending } });
    });
  }
  body.addEventListener('pointerover', ({ target }) => {
    const row = target.closest('tr');
    if (row) highlight(Number(row.dataset.run));
  });
  body.addEventListener('pointerleave', () => highlight(-1));
  body.addEventListener('click', ({ target }) => {
    const row = target.closest('tr');
    if (row && !target.closest('a, button, input, label')) pin(Number(row.dataset.run));
  });
  listen(['shown'], filterRows);
  listen(['sort'], sortRows);
  listen(['highlight'], markRow);
}
