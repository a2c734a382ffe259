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

// Show a tip beside a place in a chart; where there is no room it would hide the chart, so below or above it.
function placeTip(said, x, y, chart) {
  said.hidden = false;
  const { width, height } = said.getBoundingClientRect();
  const { top, bottom } = chart.getBoundingClientRect();
  let left = x + 18 + width < innerWidth - 6 ? x + 18 : x - 18 - width;
  let upper = Math.min(y - height / 2, innerHeight - height - 6);
  if (innerWidth < 640) {
    left = Math.min(x - width / 2, innerWidth - width - 6);
    if (bottom + 6 + height < innerHeight) upper = bottom + 6;
    else if (top - 6 - height > 0) upper = top - 6 - height;
  }
  said.style.left = `${Math.max(6, left)}px`;
  said.style.top = `${Math.max(6, upper)}px`;
}

function showSceneTip(chart, trace, at, row, { clientX, clientY }) {
  const run = at.table.run[row];
  const colour = colourOf(chart);
  const name = element('p', 'tip-name', element('bdi', '', clipped(report.runs.name[run])));
  const lines = hoverWordsAt(chart, trace, at.table, row).map(([label, text]) =>
    element('p', '', ...(label ? [element('span', '', label), element('b', '', text)] : [text])),
  );
  sceneTip.replaceChildren(name, ...lines, ...againstBaseline(run));
  sceneTip.style.borderLeftColor = colour.colours[run];
  placeTip(sceneTip, clientX, clientY, plotOf(chart));
}

function hideSceneTip() {
  sceneTip.hidden = true;
}
