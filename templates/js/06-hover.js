// Declared lines -> the text of a hover. Names reach plotly as text only, never as a template.

function shownAs(value, form) {
  if (value === undefined || value === null || value === '') return MISSING;
  if (form === 'text') return escaped(clipped(String(value)));
  return Number.isNaN(value) ? MISSING : number(value, form);
}

function hoverLine([label, , form, unit], value) {
  const text = shownAs(value, form);
  const measured = unit && text !== MISSING ? `${text} ${escaped(unit)}` : text;
  return label ? `<br>${escaped(label)}  <b>${measured}</b>` : `<br>${measured}`;
}

function hoverTexts(lines, options, at) {
  const known = lines.map((line) => resolved(line, options));
  const values = lines.map((line) => pick(resolved(line[1], options), at));
  return at.rows.map((row, i) => {
    if (row < 0) return '';
    const name = isolated(escaped(clipped(report.runs.name[at.table.run[row]])));
    return `<b>${name}</b>${known.map((line, k) => hoverLine(line, values[k][i])).join('')}`;
  });
}
