// What the runs are coloured by -> a colour for each run, and the legend that explains it.

const LOG_FROM = 50; // a range of more than this many times is shown on a logarithmic scale
const MOST_CATEGORIES = 8;

const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

function mixed(from, to, share) {
  const a = channels(from);
  const b = channels(to);
  return `rgb(${a.map((value, i) => Math.round(value + (b[i] - value) * share)).join(',')})`;
}

function ramp(share) {
  const colours = report.ramps[themeName()];
  const at = Math.min(1, Math.max(0, share)) * (colours.length - 1);
  const from = Math.min(Math.floor(at), colours.length - 2);
  return mixed(colours[from], colours[from + 1], at - from);
}

function stageColours() {
  const colours = report.stages.colours[themeName()];
  return report.runs.stage.map((stage) => colours[stage]);
}

function byNumber(column) {
  const finite = column.values.filter((value) => typeof value === 'number' && Number.isFinite(value));
  if (!finite.length) return { kind: 'none', title: column.label, colours: column.values.map(() => ink('none')) };
  const low = finite.reduce((a, b) => Math.min(a, b));
  const high = finite.reduce((a, b) => Math.max(a, b));
  const log = low > 0 && high / low > LOG_FROM;
  const scale = log ? Math.log10 : (value) => value;
  const width = scale(high) - scale(low) || 1;
  const colours = column.values.map((value) =>
    Number.isFinite(value) && value !== null ? ramp((scale(value) - scale(low)) / width) : ink('none'),
  );
  const middle = log ? Math.sqrt(low * high) : (low + high) / 2;
  const missing = finite.length < column.values.length;
  return { kind: 'ramp', title: column.label, unit: column.unit, colours, low, middle, high, log, missing };
}

function byCategory(column) {
  const counts = new Map();
  for (const value of column.values) if (value !== null) counts.set(value, (counts.get(value) || 0) + 1);
  const names = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || (String(a) < String(b) ? -1 : 1));
  const palette = report.categories[themeName()];
  const kept = names.slice(0, names.length > MOST_CATEGORIES ? MOST_CATEGORIES - 1 : MOST_CATEGORIES);
  const place = new Map(kept.map((name, at) => [name, at]));
  const other = palette[MOST_CATEGORIES - 1];
  const colours = column.values.map((value) =>
    value === null ? ink('none') : place.has(value) ? palette[place.get(value)] : other,
  );
  const items = kept.map((name, at) => ({ label: String(name), colour: palette[at] }));
  if (names.length > kept.length) items.push({ label: `${names.length - kept.length} others`, colour: other });
  return { kind: 'categories', title: column.label, colours, items };
}

function colouring(key) {
  if (key === 'stage') return { kind: 'stage', title: 'stage', colours: stageColours() };
  const column = report.columns[key];
  if (!column) return { kind: 'none', title: key, colours: Array.from({ length: RUNS }, () => ink('none')) };
  return column.numeric ? byNumber(column) : byCategory(column);
}

// What a chart is coloured by now: the reader's choice, or its own.
const colourOf = (chart) => colouring(state.colour || chart.colour);
