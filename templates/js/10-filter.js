// `depth>=4 stage=sft name~d2 "two words"` -> which runs are meant.

const TOKEN = /([^\s"<>=!~]+)(>=|<=|!=|=|~|>|<)("[^"]*"|\S+)|"([^"]*)"|(\S+)/g;

const COMPARE = {
  '>=': (a, b) => a >= b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '<': (a, b) => a < b,
};

const unquoted = (text) => text.replace(/^"|"$/g, '');
const holds = (text, part) => text.toLowerCase().includes(part.toLowerCase());

function equals(value, wanted) {
  if (typeof value === 'number') return value === Number(wanted);
  return value !== null && String(value).toLowerCase() === wanted.toLowerCase();
}

function clause(key, operator, wanted) {
  const values = report.columns[key].values;
  if (operator === '~') return (run) => values[run] !== null && holds(String(values[run]), wanted);
  if (operator === '=') return (run) => equals(values[run], wanted);
  if (operator === '!=') return (run) => !equals(values[run], wanted);
  const bound = Number(wanted);
  // what was not measured is neither more nor less
  return (run) => typeof values[run] === 'number' && COMPARE[operator](values[run], bound);
}

function parsed(query) {
  const tests = [];
  const unknown = [];
  for (const [, key, operator, value, quoted, word] of query.matchAll(TOKEN)) {
    if (key && report.columns[key]) tests.push(clause(key, operator, unquoted(value)));
    else if (key) unknown.push(key);
    else tests.push((run) => holds(report.runs.name[run], quoted ?? word));
  }
  return { test: (run) => tests.every((passes) => passes(run)), unknown };
}

// By run: fits the filter, its stage is not hidden, and it was not brushed away.
function fitting() {
  const { test } = parsed(state.query);
  const { selected, hidden } = state;
  return Uint8Array.from({ length: RUNS }, (_, run) =>
    Number(!hidden.has(report.runs.stage[run]) && (!selected || selected[run] === 1) && test(run)),
  );
}

function showCount() {
  const count = `${grouped(atlas.visible, 0)} of ${counted(RUNS, 'run')}`;
  const { unknown } = parsed(state.query);
  byId('count').textContent = unknown.length ? `${count} · no column ${unknown.join(', ')}` : count;
}
