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

function rowsOfTable(name) {
  const table = tables[name];
  const fits = state.at === null ? () => true : playedRows(table);
  const keys = Object.keys(table).filter((key) => !['run', 'line', 'size', 'known'].includes(key));
  const out = [['run', 'run_id', 'stage', ...keys]];
  for (let row = 0; row < table.run.length; row++) {
    const run = table.run[row];
    if (run < 0 || !shown[run] || !fits(row)) continue;
    out.push([inert(report.runs.name[run]), IDS[run], report.stages.names[report.runs.stage[run]], ...keys.map((key) => table[key][row])]);
  }
  return out;
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
  const parts = found.length ? found.map(rowsOfTable) : [rowsOfRuns()];
  const comment = `# ${viewWords().replaceAll('\n', ' ')}`;
  return [comment, ...parts.map((part) => part.map((row) => row.map(quotedCell).join(',')).join('\n'))].join('\n') + '\n';
}
