// The view <-> the URL fragment, so that a view can be sent. #q=depth>4&hide=rl&pins=d4,d8
// Runs go by name, where it is shared by name@stage, else by id, so that a link outlives its snapshot.
// A part that this page cannot use is left out, and the others still hold.

const READABLE = /%(2F|3A|2C|3B|40|24|3D|7E|28|29|21|2A)/g;
const written = (text) => encodeURIComponent(text.toWellFormed()).replace(READABLE, decodeURIComponent).replace(/%20/g, '+');
const readBack = (text) => decodeURIComponent(text.replace(/\+/g, '%20'));

const IDS = report.columns.id.values;
const STAGED = report.runs.name.map((name, run) => `${name}@${report.stages.names[report.runs.stage[run]]}`);
const onlyPlace = (names, token) => (names.indexOf(token) === names.lastIndexOf(token) ? names.indexOf(token) : -1);
const isPlain = (name) => name && name.length <= 60 && name.isWellFormed() && !name.includes(',');

function runToken(run) {
  const names = [report.runs.name, STAGED].find((all) => isPlain(all[run]) && onlyPlace(all, all[run]) >= 0);
  return names ? names[run] : IDS[run];
}

function runNamed(token) {
  return [report.runs.name, STAGED, IDS].map((all) => onlyPlace(all, token)).find((run) => run >= 0) ?? -1;
}

const runList = (runs) => [...runs].map(runToken).join(',');
const runsOf = (text) => [...new Set(text.split(',').map(runNamed))].filter((run) => run >= 0);
const within = (value, low, high) => (value >= low && value <= high ? value : undefined);
const oneOf = (value, names) => (names.includes(value) ? value : undefined);
const decimal = (value, digits = 6) => String(Number(value.toPrecision(digits)));

function numbers(text, amount) {
  const values = text.split(',').map((part) => (part.trim() === '' ? NaN : Number(part)));
  return values.every(Number.isFinite) && (!amount || values.length === amount) ? values : undefined;
}

function readBounds(text) {
  const values = numbers(text);
  const rises = values && values.every((value, i) => i === 0 || value > values[i - 1]);
  return rises && values.length < MOST_CATEGORIES ? values : undefined;
}

const axisPair = (pair) => (pair ? pair.map((value) => decimal(value, 9)).join(',') : '');

function readZoom(text) {
  const [x, y] = text.split(';').map((part) => numbers(part, 2));
  return x || y ? { ...(x && { x }), ...(y && { y }) } : undefined;
}

function readCamera(text) {
  const [ex, ey, ez, cx, cy, cz] = numbers(text, 6) || [];
  if (ex === undefined || Math.hypot(ex - cx, ey - cy, ez - cz) < 1e-3) return undefined;
  return { eye: { x: ex, y: ey, z: ez }, center: { x: cx, y: cy, z: cz } };
}

function stagesOf(text) {
  const places = text.split(',').map((name) => report.stages.names.indexOf(name));
  return new Set(places.filter((place) => place >= 0));
}

function selectionOf(text) {
  const selected = new Uint8Array(RUNS);
  for (const run of runsOf(text)) selected[run] = 1;
  return selected.includes(1) ? selected : undefined;
}

const chosenRuns = (selected) => [...selected.keys()].filter((run) => selected[run]);

// key in the fragment -> the part of the state, how it is written ('' is: not at all), how it is read.
const PARTS = {
  q: ['query', (value) => value, (text) => text],
  hide: ['hidden', (value) => [...value].sort().map((at) => report.stages.names[at]).join(','), stagesOf],
  sel: ['selected', (value) => (value ? runList(chosenRuns(value)) : ''), selectionOf],
  colour: ['colour', (value) => value, (text) => (text === 'stage' || report.columns[text] ? text : undefined)],
  scale: ['scale', (value) => value, (text) => oneOf(text, Object.keys(report.scales))],
  log: ['log', (value) => value, (text) => oneOf(text, ['log', 'linear'])],
  x: ['x', (value) => value, (text) => oneOf(text, ['step', 'tokens', 'flops', 'time'])],
  smooth: ['smooth', (value) => decimal(value, 3), (text) => within(Number(text || NaN), 0, 1)],
  pins: ['pins', runList, runsOf],
  base: ['baseline', (value) => (value < 0 ? '' : runToken(value)), (text) => within(runNamed(text), 0, RUNS)],
  run: ['open', (value) => (value < 0 ? '' : runToken(value)), (text) => within(runNamed(text), 0, RUNS)],
  at: ['at', (value) => (value === null ? '' : decimal(value)), (text) => within(Number(text || NaN), 0, 1)],
  theme: ['theme', (value) => value || '', (text) => oneOf(text, ['light', 'dark'])],
  sort: [
    'sort',
    (value) => (value ? (value.descending ? '-' : '') + value.key : ''),
    (text) => {
      const key = report.columns[text] ? text : text.replace(/^-/, '');
      return report.columns[key] ? { key, descending: key !== text } : undefined;
    },
  ],
};

const chartOf = (key) => report.charts.find((chart) => chart.key === key);
const planeOf = (key) => chartOf(key.split('/')[0]); // curves/sft is a panel of curves

// The same for what there is of each chart or column: zoom.loss=0,100;1,2 and trajectory.line=raw
const PARTS_OF = {
  bounds: ['buckets', (value) => value.map((bound) => decimal(bound, 9)).join(','), readBounds, (key) => report.columns[key]],
  zoom: ['zoom', ({ x, y }) => `${axisPair(x)};${axisPair(y)}`, readZoom, planeOf],
  camera: [
    'camera',
    ({ eye, center }) => [eye, center].flatMap(({ x, y, z }) => [x, y, z].map((v) => decimal(v, 4))).join(','),
    readCamera,
    chartOf,
  ],
};

function fragment() {
  const first = firstView();
  const parts = [];
  for (const [key, [name, write]] of Object.entries(PARTS)) {
    const text = write(state[name]);
    if (text !== write(first[name])) parts.push([key, text]);
  }
  for (const [key, [name, write]] of Object.entries(PARTS_OF)) {
    for (const [of, value] of Object.entries(state[name])) parts.push([`${key}.${of}`, write(value)]);
  }
  for (const [chart, options] of Object.entries(state.options)) {
    for (const [option, choice] of Object.entries(options)) {
      if (choice !== first.options[chart][option]) parts.push([`${chart}.${option}`, choice]);
    }
  }
  return parts.map(([key, text]) => `${written(key)}=${written(text)}`).join('&');
}

function readOption(view, chart, option, choice) {
  if (option === 'order' && chartOf(chart)?.kind === 'parallel') view.options[chart].order = choice;
  const known = chartOf(chart)?.options.find(({ key }) => key === option);
  if (known?.choices.some(([value]) => value === choice)) view.options[chart][option] = choice;
}

function readPart(view, key, text) {
  if (Object.hasOwn(PARTS, key)) {
    const [name, , read] = PARTS[key];
    const value = read(text);
    if (value !== undefined) view[name] = value;
    return;
  }
  const dot = key.indexOf('.');
  const [kind, of] = [key.slice(0, dot), key.slice(dot + 1)];
  if (!Object.hasOwn(PARTS_OF, kind)) {
    readOption(view, kind, of, text);
    return;
  }
  const [name, , read, known] = PARTS_OF[kind];
  const value = known(of) && read(text);
  if (value !== undefined) view[name][of] = value;
}

// A fragment -> the whole view; null for a plain anchor such as #run-3.
function viewOf(text) {
  if (!text.includes('=')) return null;
  const view = firstView();
  for (const part of text.split('&')) {
    const at = part.indexOf('=');
    try {
      readPart(view, readBack(part.slice(0, at)), readBack(part.slice(at + 1)));
    } catch (problem) {
      if (!(problem instanceof URIError)) throw problem; // half a percent sign: not ours
    }
  }
  return view;
}

function restore(hash) {
  const view = viewOf(hash.slice(1));
  if (!view) return;
  delete view.highlight;
  change(view);
}

// Not with every change: browsers allow no more than some hundred a minute, and play makes many.
let writing = 0;
function writeFragment() {
  clearTimeout(writing);
  writing = setTimeout(() => {
    const text = fragment();
    const now = location.hash.slice(1);
    if (text === now || (!text && !now.includes('='))) return;
    history.replaceState(null, '', `${location.pathname}${location.search}${text ? `#${text}` : ''}`);
  }, 300);
}

function listenToFragment() {
  restore(location.hash);
  // the event's own address: ours may have been written meanwhile
  addEventListener('hashchange', ({ newURL }) => restore(new URL(newURL).hash));
  listen(Object.keys(state).filter((key) => key !== 'highlight'), writeFragment);
}
