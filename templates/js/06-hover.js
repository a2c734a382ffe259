// Declared lines -> what is said beside the pointer, made of elements, never of markup.

function shownAs(value, form) {
  if (value === undefined || value === null || value === '' || Number.isNaN(value)) return MISSING;
  return form === 'text' ? clipped(String(value)) : number(value, form);
}

// What a trace declares to be said of its rows, as [label, reference, form, unit].
function hoverLines(chart, trace) {
  const options = choicesOf(chart);
  return trace.hover.map((line) => resolved(line, options));
}

const saidAt = ([, reference, form], table, row) => shownAs(pick(reference, { table, rows: [row] })[0], form);

// The declared lines at one row, as [label, words].
function hoverWordsAt(chart, trace, table, row) {
  return hoverLines(chart, trace).map((line) => {
    const [label, , , unit] = line;
    const text = saidAt(line, table, row);
    return [label, unit && text !== MISSING ? `${text} ${unit}` : text];
  });
}

// What is said of each vertex of a trace, for the tests.
function hoverTexts(key, place) {
  const chart = chartOf(key);
  const { table, rows } = scenes.get(key).traces[place].at;
  return rows.map((row) => {
    if (row < 0) return '';
    const lines = hoverWordsAt(chart, chart.traces[place], table, row).map((pair) => pair.join('  '));
    return [report.runs.name[table.run[row]], ...lines].join('\n');
  });
}

const sceneTip = element('div', 'tip');
sceneTip.hidden = true;
sceneTip.setAttribute('aria-hidden', 'true'); // the runs table has the same as text

function showSceneTip(chart, trace, at, row, { clientX, clientY }) {
  const run = at.table.run[row];
  const colour = colourOf(chart);
  const name = element('p', 'tip-name', element('bdi', '', clipped(report.runs.name[run])));
  const lines = hoverWordsAt(chart, trace, at.table, row).map(([label, text]) =>
    element('p', '', ...(label ? [element('span', '', label), element('b', '', text)] : [text])),
  );
  sceneTip.replaceChildren(name, ...lines, ...againstBaseline(run));
  sceneTip.style.borderLeftColor = colour.colours[run];
  sceneTip.hidden = false;
  const { width, height } = sceneTip.getBoundingClientRect();
  const left = clientX + 18 + width < innerWidth - 6 ? clientX + 18 : Math.max(6, clientX - 18 - width);
  sceneTip.style.left = `${left}px`;
  sceneTip.style.top = `${Math.max(6, Math.min(clientY - height / 2, innerHeight - height - 6))}px`;
}

function hideSceneTip() {
  sceneTip.hidden = true;
}
