// What the reader has chosen, what the page holds, and who wants to know when it changes.

const byId = (id) => document.getElementById(id);
const report = JSON.parse(byId('report').textContent);
const RUNS = report.runs.name.length;

// JSON has no NaN: in a column of numbers it came as text.
for (const column of Object.values(report.columns)) {
  if (column.numeric) column.values = column.values.map((value) => (typeof value === 'string' ? NaN : value));
}

const state = {
  theme: null, // light or dark; null follows the system
  colour: null, // a column's key; null leaves each chart its own
  hidden: new Set(), // stages
  query: '',
  highlight: -1,
  pinned: -1,
  options: mapValues(
    Object.fromEntries(report.charts.map((chart) => [chart.key, chart])),
    (chart) => Object.fromEntries(chart.options.map(({ key, choices }) => [key, choices[0][0]])),
  ),
};

let shown = new Uint8Array(RUNS).fill(1); // by run: neither filtered away nor of a hidden stage
let tables = {};

// For the tests and for the curious: read it in the console.
const atlas = (window.__runatlas = {
  ready: false, // every scene has drawn, or cannot
  idle: true, // nothing waits to be drawn
  interactive: false, // table and controls work
  webgl: null,
  drawn: {}, // chart -> how many points stand in it
  visible: RUNS,
  errors: [],
  state,
  report,
  get tables() {
    return tables;
  },
});

const systemDark = matchMedia('(prefers-color-scheme: dark)');
const themeName = () => state.theme || (systemDark.matches ? 'dark' : 'light');
const ink = (name) => report.themes[themeName()][name];
const calm = matchMedia('(prefers-reduced-motion: reduce)');
