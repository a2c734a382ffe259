// `depth>=4 stage=sft name~d2 "two words"` -> which runs are meant. Parts that stand side by side
// must all hold; `or` and `not` and round brackets do as elsewhere. The grammar, loosest first:
//   any = all ('or' all)*     all = one+     one = 'not' one | '(' any ')' | column operator value | word

const LEXEME = /\s*(?:([()])|(>=|<=|!=|==|=|~|>|<)|"([^"]*)("?)|([^\s()"<>=!~]+|!))/y;

const COMPARE = {
  '>=': (a, b) => a >= b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '<': (a, b) => a < b,
};

const holds = (text, part) => text.toLowerCase().includes(part.toLowerCase());

function lexemes(text) {
  const found = [];
  LEXEME.lastIndex = 0;
  while (LEXEME.lastIndex < text.length) {
    const match = LEXEME.exec(text);
    if (!match) break; // nothing but spaces is left
    const [, bracket, operator, quoted, closed, word] = match;
    if (bracket) found.push({ kind: bracket });
    else if (operator) found.push({ kind: 'operator', text: operator === '==' ? '=' : operator });
    else if (quoted !== undefined) found.push({ kind: 'word', text: quoted, quoted: true, open: !closed });
    else found.push({ kind: 'word', text: word });
  }
  return found;
}

function equals(value, wanted) {
  if (typeof value === 'number') return wanted.trim() !== '' && value === Number(wanted);
  return value !== null && String(value).toLowerCase() === wanted.toLowerCase();
}

// By its key, or by what stands over it in the table.
function columnNamed(name) {
  const labelled = ({ label }) => label.toLowerCase() === name.toLowerCase();
  return report.columns[name] || Object.values(report.columns).find(labelled);
}

function clause(key, operator, wanted, problems) {
  const column = columnNamed(key);
  if (!column) {
    problems.push(`no column ${key}${likely(key)}`);
    return () => true;
  }
  const { values } = column;
  if (operator === '~') return (run) => values[run] !== null && holds(String(values[run]), wanted);
  if (operator === '=') return (run) => equals(values[run], wanted);
  if (operator === '!=') return (run) => !equals(values[run], wanted);
  const bound = Number(wanted);
  if (!Number.isFinite(bound)) {
    problems.push(`${key}${operator}${wanted}: not a number`);
    return () => true;
  }
  // what was not measured is neither more nor less
  return (run) => typeof values[run] === 'number' && COMPARE[operator](values[run], bound);
}

// A column that begins like it, or has it within: what may have been meant.
function likely(key) {
  const wanted = key.toLowerCase();
  const keys = Object.keys(report.columns);
  const near = keys.find((one) => one.toLowerCase().startsWith(wanted)) || keys.find((one) => holds(one, wanted));
  return near ? ` (${near}?)` : '';
}

function parsed(query) {
  const list = lexemes(query);
  const problems = [];
  let at = 0;
  const next = () => list[at];
  const isWord = (text) => next()?.kind === 'word' && !next().quoted && next().text.toLowerCase() === text;

  function one() {
    const token = list[at++];
    if (token.kind === '(') {
      const test = any();
      if (next()?.kind === ')') at += 1;
      else problems.push('a bracket stays open');
      return test;
    }
    if (token.kind === ')') {
      problems.push('a bracket closes that was not opened');
      return () => true;
    }
    if (token.kind === 'operator') {
      problems.push(`${token.text} has no column before it`);
      if (next()?.kind === 'word') at += 1;
      return () => true;
    }
    if (!token.quoted && ['not', '!'].includes(token.text.toLowerCase()) && next()?.kind !== 'operator') {
      if (!next() || next().kind === ')') {
        problems.push(`“${token.text}” has nothing after it`);
        return () => true;
      }
      const test = one();
      return (run) => !test(run);
    }
    if (token.open) problems.push('a quotation mark stays open');
    if (next()?.kind !== 'operator') return (run) => holds(report.runs.name[run], token.text);
    const operator = list[at++].text;
    if (next()?.kind !== 'word') {
      problems.push(`${token.text}${operator} has no value after it`);
      return () => true;
    }
    const value = list[at++];
    if (value.open) problems.push('a quotation mark stays open');
    return clause(token.text, operator, value.text, problems);
  }

  function all(afterOr) {
    const tests = [];
    const began = at;
    while (next() && next().kind !== ')' && !isWord('or')) {
      if (isWord('and')) at += 1;
      else tests.push(one());
    }
    if (!tests.length && (afterOr || isWord('or'))) problems.push('“or” needs something on both sides');
    else if (!tests.length && at > began) problems.push('“and” needs something on both sides');
    return (run) => tests.every((test) => test(run));
  }

  function any() {
    const tests = [all(false)];
    while (isWord('or')) {
      at += 1;
      tests.push(all(true));
    }
    return (run) => tests.some((test) => test(run));
  }

  const tests = [any()];
  while (at < list.length) tests.push(one(), any()); // after a bracket too many
  return { test: (run) => tests.every((test) => test(run)), problems: [...new Set(problems)] };
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
  byId('count').textContent = `${grouped(atlas.visible, 0)} of ${counted(RUNS, 'run')}`;
  const { problems } = parsed(state.query);
  byId('filter-problem').textContent = problems.join(' · ');
  byId('filter').setAttribute('aria-invalid', String(problems.length > 0));
}
