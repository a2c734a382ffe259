// A chart's rows as CSV: those of the runs that are shown, as far as training has been played.

function quotedCell(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '';
  const text = String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// A name that a spreadsheet would take for a formula is kept text by an apostrophe.
const inert = (name) => (/^[=+\-@\t\r]/.test(name) ? `'${name}` : name);

function tablesOf(chart) {
  const options = choicesOf(chart);
  const names = chart.traces.filter(({ role }) => role === 'data').map((trace) => resolved(trace.table, options));
  return [...new Set(names)];
}

const AIDS = /^(run|line|size|known|place|[abcdxyz]|m\d+)$/; // columns for drawing; what they show has a label

// The columns of a table as [heading, reference]: what the hover says of its rows, then all else.
function columnsOf(chart, name) {
  const options = choicesOf(chart);
  const said = new Map();
  for (const trace of chart.traces) {
    if (trace.role !== 'data' || resolved(trace.table, options) !== name) continue;
    for (const [label, reference] of hoverColumns(chart, trace)) said.set(label, reference);
  }
  const used = new Set([...said.values()].map((reference) => reference?.$));
  const rest = Object.keys(tables[name]).filter((key) => !AIDS.test(key) && !used.has(key));
  return [...said, ...rest.map((key) => [key, { $: key }])];
}

function rowsOfTable(chart, name) {
  const table = tables[name];
  const fits = state.at === null ? () => true : playedRows(table);
  const columns = columnsOf(chart, name);
  const rows = [...table.run.keys()].filter((row) => table.run[row] >= 0 && shown[table.run[row]] && fits(row));
  const values = columns.map(([, reference]) => pick(reference, { table, rows }));
  const named = rows.map((row, i) => {
    const run = table.run[row];
    return [inert(report.runs.name[run]), IDS[run], report.stages.names[report.runs.stage[run]], ...values.map((column) => column[i])];
  });
  return [['run', 'run_id', 'stage', ...columns.map(([heading]) => heading)], ...named];
}

// Of a chart that shows runs as wholes: their columns.
function rowsOfRuns() {
  const columns = Object.entries(report.columns).filter(([key]) => key !== 'name' && key !== 'id');
  const out = [['run', 'run_id', ...columns.map(([key]) => key)]];
  for (let run = 0; run < RUNS; run++) {
    if (shown[run]) out.push([inert(report.runs.name[run]), IDS[run], ...columns.map(([, { values }]) => values[run])]);
  }
  return out;
}

function csvOf(chart) {
  const found = tablesOf(chart);
  const parts = found.length ? found.map((name) => rowsOfTable(chart, name)) : [rowsOfRuns()];
  const comment = `# ${viewWords().replaceAll('\n', ' ')}`;
  return [comment, ...parts.map((part) => part.map((row) => row.map(quotedCell).join(',')).join('\n'))].join('\n') + '\n';
}
