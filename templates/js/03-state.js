// What the reader has chosen, what the page holds, and who wants to know when it changes.
// Any module may read `state`, `shown` and `colourOf()`; all writes go through `change()`.

const byId = (id) => document.getElementById(id);
const report = window.__parts.document;
Object.setPrototypeOf(report.columns, null); // a link may name any: 'constructor' is none
const RUNS = report.runs.name.length;

// JSON has no NaN: in a column of numbers it came as text.
for (const column of Object.values(report.columns)) {
  if (column.numeric) column.values = column.values.map((value) => (typeof value === 'string' ? NaN : value));
}

const firstView = () => ({
  query: '',
  hidden: new Set(), // stages, by their place in report.stages.names
  selected: null, // by run: brushed in the table or in parallel coordinates; null is all
  colour: '', // a column's key; '' leaves each chart its own
  scale: '', // a ramp's name; '' is the default one
  log: '', // log or linear; '' is what the values ask for
  buckets: {}, // a column's key -> the bounds between its buckets, ascending
  x: 'step', // step, tokens, flops or time
  smooth: 0.6, // 0 is what was logged alone
  pins: [], // runs, in the order in which they were pinned
  baseline: -1, // a run
  highlight: -1, // the run that is pointed at, anywhere
  open: -1, // the run whose section is open
  at: null, // how far training has been played, 0..1 of the axis; null is all of it
  options: Object.fromEntries(
    report.charts.map(({ key, options }) => [
      key,
      Object.fromEntries(options.map((option) => [option.key, option.choices[0]?.[0] ?? ''])),
    ]),
  ),
  zoom: {}, // chart -> { x: [low, high], y: [low, high] }
  camera: {}, // chart -> { eye: { x, y, z }, center: { x, y, z } }
  theme: null, // light or dark; null follows the system
  sort: null, // { key, descending } of a column
});

const state = firstView();
let shown = new Uint8Array(RUNS).fill(1); // by run: fits the filter, its stage is not hidden, brushed
let tables = {};

const DERIVED = {
  shown: ['query', 'hidden', 'selected'],
  colours: ['colour', 'scale', 'log', 'buckets', 'baseline', 'theme'],
};
const listeners = [];
let changed = new Set();

// Merge `patch` into the state. A set, list or object is replaced, never changed in place.
function change(patch) {
  const waits = changed.size > 0;
  for (const [key, value] of Object.entries(patch)) {
    if (!(key in state)) throw new Error(`the view has no ${key}`);
    if (Object.is(state[key], value)) continue;
    state[key] = value;
    changed.add(key);
  }
  if (changed.size && !waits) requestAnimationFrame(notify);
}

// Change one chart's part of options, zoom or camera.
function changeOf(chart, key, value) {
  change({ [key]: { ...state[key], [chart.key]: value } });
}

// Call fn(the changed keys) after each change of one of `keys`, which may also be shown or colours.
function listen(keys, fn) {
  listeners.push({ keys, fn });
}

function complain(problem) {
  atlas.errors.push(String(problem));
  console.error(problem);
}

function notify() {
  const keys = changed;
  changed = new Set();
  for (const [key, sources] of Object.entries(DERIVED)) {
    if (sources.some((source) => keys.has(source))) keys.add(key);
  }
  if (keys.has('shown')) shown = fitting();
  for (const listener of listeners) {
    if (!listener.keys.some((key) => keys.has(key))) continue;
    try {
      listener.fn(keys);
    } catch (problem) {
      complain(problem);
    }
  }
}

// For the tests and for the curious: read it in the console.
const atlas = (window.__runatlas = {
  ready: false, // every scene has drawn, or cannot
  interactive: false, // table and controls work
  webgl: null,
  drawn: {}, // chart -> how many points stand in it
  errors: [],
  state,
  report,
  change,
  hoverTexts,
  fragment,
  viewOf,
  get idle() {
    return changed.size === 0 && pending === 0; // nothing waits to be told or drawn
  },
  get visible() {
    return shown.reduce((total, is) => total + is, 0);
  },
  get shown() {
    return shown;
  },
  get tables() {
    return tables;
  },
});

const systemDark = matchMedia('(prefers-color-scheme: dark)');
let printing = false; // paper is light
const themeName = () => (printing ? 'light' : state.theme || (systemDark.matches ? 'dark' : 'light'));
const ink = (name) => report.themes[themeName()][name];
const calm = matchMedia('(prefers-reduced-motion: reduce)');
