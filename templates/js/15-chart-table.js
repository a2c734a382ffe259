// A chart as a table under it: of each row that is drawn what its hover says, for those who read
// numbers and for those who see no chart. It follows the filter and the chart's own choices.

const MOST_ROWS = 500; // of a table in the page; the CSV has all
const openTables = new Set();

// What of each trace is drawn, as [trace, table, rows].
function drawnRows(chart) {
  const options = choicesOf(chart);
  const isData = ({ role }) => role === 'data';
  if (chart.kind === 'scene') {
    return chart.traces.filter(isData).map((trace) => {
      const { table, rows: some } = resolveTrace(trace, options, []).at;
      return [trace, table, some.filter((row) => row >= 0)];
    });
  }
  return chart.layout.panels.flatMap((panel) =>
    seriesOf(chart, panel, options).filter(({ trace }) => isData(trace)).map((one) => {
      const spans = one.pieces.filter(({ run }) => isShown(run)).map((piece) => played(piece, one));
      return [one.trace, one.table, spans.flatMap(({ from, to }) => one.rows.slice(from, to))];
    }),
  );
}

// The labelled lines of a hover: a column each.
const hoverColumns = (chart, trace) => hoverLines(chart, trace).filter(([label]) => label);

function rowCells(columns, table, row) {
  return columns.map((line) => {
    const cell = element('td', '', saidAt(line, table, row));
    if (cell.textContent === MISSING) Object.assign(cell, { className: 'none', textContent: '–', title: MISSING });
    return cell;
  });
}

const headOf = (label, unit) => {
  const head = element('th', '', label, ...(unit ? [element('small', '', unit)] : []));
  head.scope = 'col';
  return head;
};

function runHead(run) {
  const head = element('th', '', linkTo(run));
  head.scope = 'row';
  return head;
}

const rowOf = (run, cells) => element('tr', '', runHead(run), element('td', 'text', report.stages.names[report.runs.stage[run]]), ...cells);

// A table for all traces of which the same is said.
function tablesOfRows(chart) {
  const alike = new Map();
  for (const [trace, table, some] of drawnRows(chart)) {
    const columns = hoverColumns(chart, trace);
    const key = JSON.stringify(columns.map(([label]) => label));
    if (!alike.has(key)) alike.set(key, { columns, rows: [] });
    for (const row of some) alike.get(key).rows.push({ columns, table, row });
  }
  const filled = [...alike.values()].filter(({ rows: some }) => some.length);
  return filled.map(({ columns, rows: some }) => {
    const made = some.slice(0, MOST_ROWS).map((one) => rowOf(one.table.run[one.row], rowCells(one.columns, one.table, one.row)));
    return filledTable(columns.map(([label, , , unit]) => headOf(label, unit)), made, some.length);
  });
}

// Parallel coordinates show runs as wholes.
function tableOfRuns() {
  const columns = Object.entries(report.columns).filter(([key]) => !['name', 'id', 'stage'].includes(key));
  const runs = [...shown.keys()].filter((run) => shown[run]);
  const made = runs.slice(0, MOST_ROWS).map((run) => {
    const cells = columns.map(([, { values, numeric }]) => element('td', '', values[run] === null ? '–' : numeric ? number(values[run]) : clipped(String(values[run]))));
    return rowOf(run, cells);
  });
  return filledTable(columns.map(([, { label, unit }]) => headOf(label, unit)), made, runs.length);
}

function filledTable(heads, made, total) {
  const less = made.length < total ? `The first ${grouped(made.length, 0)} of ${counted(total, 'row')}; saved as CSV, all.` : `${counted(total, 'row')}.`;
  const head = element('thead', '', element('tr', '', headOf('run'), headOf('stage'), ...heads));
  return element('table', '', element('caption', '', less), head, element('tbody', '', ...made));
}

function showRows(chart) {
  const open = openTables.has(chart.key);
  const frame = byId(`rows-${chart.key}`);
  frame.hidden = !open;
  byId(`chart-${chart.key}`).querySelector('.rows').setAttribute('aria-expanded', String(open));
  const made = () => (chart.kind === 'parallel' ? [tableOfRuns()] : tablesOfRows(chart));
  frame.replaceChildren(...(open ? made() : []));
}

function listenToRows(chart) {
  byId(`chart-${chart.key}`).querySelector('.rows').addEventListener('click', () => {
    if (!openTables.delete(chart.key)) openTables.add(chart.key);
    showRows(chart);
  });
}

// While training plays nobody reads on; they are told when it stops.
function showOpenRows() {
  for (const chart of report.charts) if (openTables.has(chart.key) && !playing) showRows(chart);
}
