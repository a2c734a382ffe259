// While a filter is typed: the columns, or a column's values, that could come next.

const MOST_SUGGESTED = 8;

// The piece of text before the cursor that a suggestion would replace.
function typedBefore(box) {
  const text = box.value.slice(0, box.selectionStart);
  const [, key, operator, part] = /([^\s()"<>=!~]+)\s*(>=|<=|!=|==|=|~|>|<)\s*("[^"]*|[^\s()"]*)$/.exec(text) || [];
  if (key && report.columns[key]) return { key, operator, part, start: text.length - part.length };
  const [, word] = /([^\s()"<>=!~]*)$/.exec(text);
  return { part: word, start: text.length - word.length };
}

const quotedIfNeeded = (text) => (/[\s()"<>=!~]/.test(text) || text === '' ? `"${text.replaceAll('"', '')}"` : text);

function suggestions(box) {
  const { key, operator, part, start } = typedBefore(box);
  const wanted = part.replace(/^"/, '').toLowerCase();
  const fits = (text) => text.toLowerCase().includes(wanted);
  const first = (a, b) => Number(b.toLowerCase().startsWith(wanted)) - Number(a.toLowerCase().startsWith(wanted));
  if (key) {
    if (report.columns[key].numeric && operator !== '=' && operator !== '!=') return { start, items: [] };
    const values = [...new Set(report.columns[key].values.filter((value) => value !== null))].map(String);
    const items = values.filter((value) => fits(value) && quotedIfNeeded(value) !== part).sort(first).slice(0, MOST_SUGGESTED);
    return { start, items: items.map((value) => ({ text: quotedIfNeeded(value), says: value, note: '' })) };
  }
  if (!wanted) return { start, items: [] };
  const items = Object.entries(report.columns)
    .filter(([name, { label }]) => fits(name) || fits(label))
    .sort(([a], [b]) => first(a, b) || a.length - b.length)
    .slice(0, MOST_SUGGESTED)
    .map(([name, { label, numeric }]) => ({ text: name + (numeric ? '>=' : '='), says: name, note: label === name ? '' : label }));
  return { start, items };
}

function listenToSuggestions(box, list) {
  let found = { start: 0, items: [] };
  let chosen = -1;

  function close() {
    list.hidden = true;
    chosen = -1;
    box.setAttribute('aria-expanded', 'false');
    box.removeAttribute('aria-activedescendant');
  }

  function choose(at) {
    chosen = at;
    [...list.children].forEach((item, i) => item.setAttribute('aria-selected', String(i === at)));
    if (at >= 0) box.setAttribute('aria-activedescendant', list.children[at].id);
    else box.removeAttribute('aria-activedescendant');
  }

  function take(at) {
    box.setRangeText(found.items[at].text, found.start, box.selectionStart, 'end');
    close();
    box.dispatchEvent(new Event('input'));
  }

  function show() {
    found = suggestions(box);
    list.replaceChildren(
      ...found.items.map(({ says, note }, i) => {
        const item = element('li', '', element('bdi', '', clipped(says)), element('span', '', clipped(note)));
        item.id = `suggestion-${i}`;
        item.setAttribute('role', 'option');
        item.addEventListener('pointerdown', (event) => {
          event.preventDefault(); // the box keeps the focus
          take(i);
        });
        return item;
      }),
    );
    list.hidden = found.items.length === 0;
    box.setAttribute('aria-expanded', String(!list.hidden));
    choose(-1);
  }

  box.addEventListener('input', show);
  box.addEventListener('blur', close);
  box.addEventListener('keydown', (event) => {
    if (list.hidden) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) choose((chosen + step + found.items.length + (chosen < 0 && step < 0 ? 1 : 0)) % found.items.length);
    else if ((event.key === 'Enter' || event.key === 'Tab') && chosen >= 0) take(chosen);
    else if (event.key === 'Escape') close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
