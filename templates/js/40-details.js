// What the sections of runs say: unpacked when the first one is opened. The other side is
// reports/details.py.

let detailsPromise = null;

async function unpackDetails() {
  const bytes = await gunzip(bytesOf(byId('details').textContent));
  const told = JSON.parse(new TextDecoder().decode(bytes));
  const columns = await decode(byId('details-data').textContent, told.index);
  return { ...told, tables: { summary: {}, telemetry: {}, ...columns } };
}

const loadDetails = () => (detailsPromise ||= unpackDetails());

// A text that was too long came as its beginning and its length.
function textAt(details, place) {
  const text = details.texts[place];
  return typeof text === 'string' ? text : `${text[0]}… (${grouped(text[1], 0)} characters)`;
}

const cellAt = (details, value) => (Array.isArray(value) ? textAt(details, value[0]) : value);

const rowsOf = (details, rows, run) =>
  rows.filter(([of]) => of === run).map(([, ...values]) => values.map((value) => cellAt(details, value)));

const NO_KEY = -2;

// Stretches of runs that share a value are its length and its place, in turns.
function placeAt(stretches, run) {
  let end = 0;
  for (let i = 0; i < stretches.length; i += 2) {
    end += stretches[i];
    if (run < end) return stretches[i + 1];
  }
  return NO_KEY;
}

// The settings of one run: key -> what was asked and what came of it; undefined where it has none.
function settingsOf(details, run) {
  const found = new Map();
  for (const [kind, keys] of Object.entries(details.config.of)) {
    for (const [key, stretches] of Object.entries(keys)) {
      const place = placeAt(stretches, run);
      if (place === NO_KEY) continue;
      const name = textAt(details, Number(key));
      if (!found.has(name)) found.set(name, {});
      found.get(name)[kind] = place < 0 ? '–' : textAt(details, place);
    }
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
}

// The rows that one run has in a packed table, as objects; a text's place becomes the text.
function packedRows(details, name, run, texts) {
  const table = details.tables[name];
  const found = [];
  for (let row = 0; row < (table.run?.length ?? 0); row++) {
    if (table.run[row] !== run) continue;
    found.push(
      Object.fromEntries(
        Object.entries(table).map(([key, values]) => {
          const value = values[row];
          if (!texts.includes(key)) return [key, value];
          return [key, value < 0 ? '' : textAt(details, value)];
        }),
      ),
    );
  }
  return found;
}

const [HAS_LAST, HAS_MIN, HAS_MAX, HAS_REPORTED] = [1, 2, 4, 8];
