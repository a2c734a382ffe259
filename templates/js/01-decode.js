// The packed columns -> typed arrays. The other side is reports/pack.py.

const { bytesOf, gunzip } = window.__parts;

// Undo the byte shuffle: all first bytes come first, then all second ones, and so on.
function unshuffled(bytes, at, n, width) {
  const out = new Uint8Array(n * width);
  for (let plane = 0; plane < width; plane++) {
    for (let i = 0; i < n; i++) out[i * width + plane] = bytes[at + plane * n + i];
  }
  return out.buffer;
}

// Zigzag deltas; the addition wraps at 32 bits, as the packing did.
function summed(buffer) {
  const codes = new Uint32Array(buffer);
  const values = new Int32Array(codes.length);
  let value = 0;
  for (let i = 0; i < codes.length; i++) {
    value = (value + ((codes[i] >>> 1) ^ -(codes[i] & 1))) | 0;
    values[i] = value;
  }
  return values;
}

// Of each run: its first value, what a step adds to it, and the steps from and to which it has one.
function straight(bytes, { at, n, runs }, { run, step }) {
  const ends = new Float64Array(unshuffled(bytes, at, 4 * runs, 8));
  const values = new Float64Array(n);
  for (let row = 0, piece = -1; row < n; row++) {
    if (row === 0 || run[row] !== run[row - 1]) piece += 1;
    const [value, slope, low, high] = [0, 1, 2, 3].map((kind) => ends[kind * runs + piece]);
    values[row] = step[row] >= low && step[row] <= high ? value + slope * (step[row] - low) : NaN;
  }
  return values;
}

// The running median of another column, within a line.
function runningMedian({ of, window: width }, table) {
  const values = table[of];
  const lines = table.line;
  const reach = (width - 1) / 2;
  return values.map((_, row) => {
    let low = row;
    let high = row;
    while (low > 0 && low > row - reach && lines[low - 1] === lines[row]) low--;
    while (high < values.length - 1 && high < row + reach && lines[high + 1] === lines[row]) high++;
    const some = values.slice(low, high + 1).sort();
    const middle = some.length >> 1;
    return some.length % 2 ? some[middle] : (some[middle - 1] + some[middle]) / 2;
  });
}

// The rows that have a finite value, their values, and the rows that have an infinite one.
function scattered(bytes, { n, rows, values, above, below }) {
  const all = new Float64Array(n).fill(NaN);
  const some = column(bytes, values);
  column(bytes, rows).forEach((row, place) => {
    all[row] = some[place];
  });
  for (const row of column(bytes, above)) all[row] = Infinity;
  for (const row of column(bytes, below)) all[row] = -Infinity;
  return all;
}

// The values, each from its row to the next one's.
function held(bytes, { n, rows, values }) {
  const some = column(bytes, values);
  const all = new some.constructor(n);
  const since = column(bytes, rows);
  since.forEach((row, place) => all.fill(some[place], row, since[place + 1]));
  return all;
}

function column(bytes, entry, table) {
  const { kind, n, at } = entry;
  if (kind === 'line') return straight(bytes, entry, table);
  if (kind === 'median') return runningMedian(entry, table);
  if (kind === 'sparse') return scattered(bytes, entry);
  if (kind === 'held') return held(bytes, entry);
  if (kind === 'f8') return new Float64Array(unshuffled(bytes, at, n, 8));
  const values = summed(unshuffled(bytes, at, n, 4));
  return kind === 'f4' ? new Float32Array(values.buffer) : values;
}

// What stands for itself comes before what follows from it.
const follows = ({ kind }) => kind === 'line' || kind === 'median';

function unpacked(bytes, columns, earlier) {
  const table = {};
  for (const [name, entry] of Object.entries(columns)) {
    if (entry.kind === 'pick') {
      const values = earlier[entry.table][name];
      table[name] = values.constructor.from(column(bytes, entry.rows), (row) => values[row]);
    } else if (!follows(entry)) table[name] = column(bytes, entry);
  }
  for (const [name, entry] of Object.entries(columns)) if (follows(entry)) table[name] = column(bytes, entry, table);
  return table;
}

const mapValues = (object, change) =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));

async function decode(text, index) {
  const bytes = await gunzip(bytesOf(text));
  const tables = {};
  for (const [name, columns] of Object.entries(index)) tables[name] = unpacked(bytes, columns, tables);
  return tables;
}
