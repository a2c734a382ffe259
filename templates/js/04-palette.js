// What the runs are coloured by -> a colour for each run, and what the legend says of it.

const LOG_FROM = 50; // a range of more than this many times is shown on a logarithmic scale
const MOST_CATEGORIES = 8;

const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

function mixed(from, to, share) {
  const a = channels(from);
  const b = channels(to);
  return `rgb(${a.map((value, i) => Math.round(value + (b[i] - value) * share)).join(',')})`;
}

const rampColours = (name) => report.scales[name][themeName()];

function ramp(colours, share) {
  const at = Math.min(1, Math.max(0, share)) * (colours.length - 1);
  const from = Math.min(Math.floor(at), colours.length - 2);
  return mixed(colours[from], colours[from + 1], at - from);
}

function stageColours() {
  const colours = report.stages.colours[themeName()];
  return report.runs.stage.map((stage) => colours[stage]);
}

const isNumber = (value) => typeof value === 'number' && Number.isFinite(value);

// The middle of a diverging scale: what the baseline has, else what half of the runs have.
function scaleMiddle(finite, values) {
  const base = state.baseline >= 0 ? values[state.baseline] : null;
  if (isNumber(base)) return { middle: base, what: 'the baseline' };
  const sorted = [...finite].sort((a, b) => a - b);
  return { middle: sorted[Math.floor((sorted.length - 1) / 2)], what: 'the median' };
}

function byNumber(key, column) {
  const finite = column.values.filter(isNumber);
  const common = { key, title: column.label, unit: column.unit };
  if (!finite.length) return { ...common, kind: 'none', colours: column.values.map(() => ink('none')) };
  const low = finite.reduce((a, b) => Math.min(a, b));
  const high = finite.reduce((a, b) => Math.max(a, b));
  const log = low > 0 && (state.log ? state.log === 'log' : high / low > LOG_FROM);
  const along = log ? Math.log10 : (value) => value;
  const name = state.scale || 'viridis';
  const colours = rampColours(name);
  let [from, to] = [along(low), along(high)];
  let middle = log ? Math.sqrt(low * high) : (low + high) / 2;
  let what = '';
  if (name === 'diverging') {
    ({ middle, what } = scaleMiddle(finite, column.values));
    const reach = Math.max(to - along(middle), along(middle) - from) || 1;
    [from, to] = [along(middle) - reach, along(middle) + reach];
  }
  const back = log ? (value) => 10 ** value : (value) => value;
  return {
    ...common,
    kind: 'ramp',
    ramp: colours,
    colours: column.values.map((value) =>
      isNumber(value) ? ramp(colours, (along(value) - from) / (to - from || 1)) : ink('none'),
    ),
    ends: [back(from), middle, back(to)],
    what,
    log,
    missing: column.values.length - finite.length,
  };
}

// Bounds 4 and 8 make three buckets: below 4, from 4 to below 8, 8 and above.
function byBucket(key, column, bounds) {
  const palette = report.categories[themeName()];
  const names = [
    `below ${short(bounds[0])}`,
    ...bounds.slice(1).map((bound, i) => `${short(bounds[i])} to below ${short(bound)}`),
    `${short(bounds[bounds.length - 1])} and above`,
  ];
  const place = (value) => bounds.filter((bound) => value >= bound).length;
  const counts = names.map(() => 0);
  for (const value of column.values) if (isNumber(value)) counts[place(value)] += 1;
  return {
    key,
    kind: 'categories',
    title: column.label,
    unit: column.unit,
    colours: column.values.map((value) => (isNumber(value) ? palette[place(value)] : ink('none'))),
    items: names.map((label, at) => ({ label, colour: palette[at], amount: counts[at] })),
    missing: column.values.filter((value) => !isNumber(value)).length,
  };
}

function byCategory(key, column) {
  const counts = new Map();
  for (const value of column.values) if (value !== null) counts.set(value, (counts.get(value) || 0) + 1);
  const names = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || (String(a) < String(b) ? -1 : 1));
  const palette = report.categories[themeName()];
  const kept = names.slice(0, names.length > MOST_CATEGORIES ? MOST_CATEGORIES - 1 : MOST_CATEGORIES);
  const place = new Map(kept.map((name, at) => [name, at]));
  const other = palette[MOST_CATEGORIES - 1];
  const items = kept.map((name, at) => ({ label: String(name), colour: palette[at], amount: counts.get(name) }));
  if (names.length > kept.length) items.push({ label: `${names.length - kept.length} others`, colour: other });
  return {
    key,
    kind: 'categories',
    title: column.label,
    colours: column.values.map((value) =>
      value === null ? ink('none') : place.has(value) ? palette[place.get(value)] : other,
    ),
    items,
    missing: column.values.filter((value) => value === null).length,
  };
}

function colouring(key) {
  if (key === 'stage') return { key, kind: 'stage', title: 'stage', colours: stageColours() };
  const column = report.columns[key];
  if (!column) return { key, kind: 'none', title: key, colours: Array.from({ length: RUNS }, () => ink('none')) };
  if (!column.numeric) return byCategory(key, column);
  const bounds = state.buckets[key];
  return bounds ? byBucket(key, column, bounds) : byNumber(key, column);
}

// What a chart is coloured by now: the reader's choice, or its own. Worked out once a change.
const colourings = new Map();
function colourOf(chart) {
  const key = state.colour || chart.colour;
  const depends = [themeName(), state.scale, state.log, state.buckets[key], state.baseline];
  const known = colourings.get(key);
  if (known && known.depends.every((value, i) => value === depends[i])) return known.colour;
  const colour = colouring(key);
  colourings.set(key, { depends, colour });
  return colour;
}
