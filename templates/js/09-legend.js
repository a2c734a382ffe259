// A chart's colouring -> the legend under it, made of elements, never of markup.

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function linkTo(run) {
  const link = element('a', '', element('bdi', '', clipped(report.runs.name[run])));
  link.href = `#run-${run}`;
  return link;
}

const SVG = 'http://www.w3.org/2000/svg';

function symbol(name, className = '') {
  const icon = document.createElementNS(SVG, 'svg');
  icon.setAttribute('class', `symbol ${className}`);
  icon.setAttribute('viewBox', '0 0 12 12');
  icon.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#symbol-${name}`);
  icon.append(use);
  return icon;
}

function stageItems() {
  const { names, symbols } = report.stages;
  return [...new Set(report.runs.stage)]
    .sort((a, b) => a - b)
    .map((stage) => element('li', '', symbol(symbols[stage], `stage-${stage}`), names[stage]));
}

function rampLegend(colour) {
  const bar = element('span', 'ramp');
  bar.style.background = `linear-gradient(90deg, ${colour.ramp.join(',')})`;
  const ends = colour.ends.map((value) => element('span', '', short(value)));
  const scale = element('span', 'scale', bar, element('span', 'ends', ...ends));
  const notes = [colour.unit, colour.log ? 'log' : '', colour.what && `middle: ${colour.what}`].filter(Boolean).join(', ');
  const title = element('span', 'what', notes ? `${colour.title} (${notes})` : colour.title);
  return [element('li', '', title), element('li', '', scale)];
}

function swatchItem({ label, colour, amount }) {
  const swatch = element('span', 'swatch');
  swatch.style.background = colour;
  const item = element('li', '', swatch, element('bdi', '', clipped(label)));
  if (amount !== undefined) item.append(element('span', 'what', grouped(amount, 0)));
  return item;
}

function colourItems(colour) {
  if (colour.kind === 'stage') return stageItems();
  if (colour.kind === 'none') return [element('li', '', `${colour.title}: not measured`)];
  const title = colour.unit ? `${colour.title} (${colour.unit})` : colour.title;
  const items =
    colour.kind === 'ramp' ? rampLegend(colour) : [element('li', '', element('span', 'what', title)), ...colour.items.map(swatchItem)];
  const base = state.baseline >= 0 ? report.columns[colour.key].values[state.baseline] : null;
  if (isNumber(base)) items.push(element('li', '', element('span', 'what', 'baseline'), number(base)));
  if (colour.missing) items.push(swatchItem({ label: 'not measured', colour: ink('none'), amount: colour.missing }));
  if (report.columns[colour.key].numeric) items.push(element('li', '', scaleButton(colour.key)));
  return items;
}

function sizeItems({ sizes, sizes_title: title }) {
  if (!sizes.length) return [];
  const items = sizes.map(([label, size]) => {
    const dot = element('span', 'dot');
    dot.style.width = dot.style.height = `${(size * 0.8).toFixed(1)}px`;
    return element('span', 'size', dot, label);
  });
  return [element('li', 'push', element('span', 'what', title), ...items)];
}

function showLegend(chart, colour) {
  byId(`legend-${chart.key}`).replaceChildren(...colourItems(colour), ...sizeItems(chart));
}

const showLegends = () => report.charts.forEach((chart) => showLegend(chart, colourOf(chart)));
