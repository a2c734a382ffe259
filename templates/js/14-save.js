// "Save this view": a chart as it stands now, with its title, legend and snapshot, as PNG, SVG or CSV.
// The picture is made of what the page shows: canvases as lines (vector.js) or as they are, text and
// symbols where they stand. Everything happens in the page.

const MARGIN = 24; // pixels
const COPIED = ['fill', 'stroke', 'stroke-width', 'stroke-dasharray', 'opacity', 'font-size', 'font-family', 'font-weight', 'text-anchor', 'paint-order'];

function inkText(text, x, y, style, more = {}) {
  const attributes = { x: at2(x), y: at2(y), fill: style.color, 'font-size': style.fontSize, 'font-weight': style.fontWeight, 'font-family': style.fontFamily, ...more };
  return svgElement('text', attributes, text);
}

// A copy of an SVG element that needs no style sheet and no symbol of the page.
function copied(original) {
  if (original.nodeType === Node.TEXT_NODE) return original.cloneNode();
  const style = getComputedStyle(original);
  if (style.display === 'none' || style.visibility === 'hidden') return null;
  if (original.localName === 'use') return copiedUse(original, style);
  const copy = original.cloneNode();
  for (const name of ['class', 'style', 'id']) copy.removeAttribute(name);
  for (const name of COPIED) copy.setAttribute(name, style.getPropertyValue(name));
  copy.append(...[...original.childNodes].map(copied).filter(Boolean));
  return copy;
}

function copiedUse(original, style) {
  const source = document.querySelector(original.getAttribute('href'));
  const box = Object.fromEntries(['x', 'y', 'width', 'height'].map((name) => [name, original.getAttribute(name) || (name.length > 1 ? 12 : 0)]));
  return svgElement('svg', { viewBox: '0 0 12 12', color: style.color, ...box }, ...[...source.childNodes].map((node) => node.cloneNode(true)));
}

function gradientOf(style, id) {
  const stops = style.backgroundImage.match(/rgba?\([^)]*\)/g) || [];
  const made = stops.map((colour, i) => svgElement('stop', { offset: i / (stops.length - 1), 'stop-color': colour }));
  return stops.length ? svgElement('linearGradient', { id }, ...made) : null;
}

// Text, swatches, symbols and canvases of the page, put where they stand from `origin` on.
function drawnFrom(node, origin, out) {
  if (node.nodeType === Node.TEXT_NODE) {
    if (!node.data.trim()) return;
    const range = document.createRange();
    range.selectNodeContents(node);
    const { left, top, height } = range.getBoundingClientRect();
    out.append(inkText(node.data.trim(), left - origin.left, top + height / 2 - origin.top, getComputedStyle(node.parentElement), { 'dominant-baseline': 'central' }));
    return;
  }
  if (node.nodeType !== Node.ELEMENT_NODE || node.matches('.edit, .spoken, .brush')) return;
  const style = getComputedStyle(node);
  if (style.display === 'none' || style.visibility === 'hidden') return;
  const { left, top, width, height } = node.getBoundingClientRect();
  const place = { x: at2(left - origin.left), y: at2(top - origin.top) };
  if (node.localName === 'canvas') {
    const pen = recorder?.get(node);
    if (pen) out.append(svgElement('g', { transform: `translate(${place.x} ${place.y})`, opacity: style.opacity }, pen.root));
    return;
  }
  if (node.localName === 'svg') {
    const copy = copied(node);
    for (const [name, value] of Object.entries({ ...place, width, height })) copy.setAttribute(name, value);
    copy.setAttribute('color', style.color);
    out.append(copy);
    return;
  }
  if (node.matches('.swatch, .dot, .ramp, i')) {
    const id = `ramp-${(clips += 1)}`;
    const gradient = gradientOf(style, id);
    if (gradient) out.append(gradient);
    const fill = gradient ? `url(#${id})` : style.backgroundColor;
    out.append(svgElement('rect', { ...place, width, height, rx: Math.min(parseFloat(style.borderRadius) || 0, height / 2), fill }));
  }
  for (const child of node.childNodes) drawnFrom(child, origin, out);
}

// A chart of two dimensions draws once more, for the pens that write down.
function recorded(chart, draw) {
  if (chart.kind === 'scene') return draw();
  recorder = new Map();
  try {
    if (chart.kind === 'parallel') drawParallelOf(chart);
    else drawPlane(chart);
    return draw();
  } finally {
    recorder = null;
    if (chart.kind === 'parallel') drawParallelOf(chart);
    else drawPlane(chart);
  }
}

function viewWords() {
  const said = [state.query && `filter ${state.query}`, state.baseline >= 0 && `baseline ${report.runs.name[state.baseline]}`, state.at !== null && byId('at-words').textContent];
  return [`${report.project} · snapshot ${report.snapshot}`, ...said.filter(Boolean), `${atlas.visible} of ${counted(RUNS, 'run')}`, 'runatlas'].map(clipped).join(' · ');
}

function pictureSvg(chart) {
  const plot = plotOf(chart);
  const card = byId(`chart-${chart.key}`);
  const legend = byId(`legend-${chart.key}`);
  const [area, key] = [plot.getBoundingClientRect(), legend.getBoundingClientRect()];
  const { fontFamily } = getComputedStyle(document.body);
  const soft = { fontFamily, color: ink('muted'), fontSize: '13px', fontWeight: '400' };
  const width = Math.ceil(area.width + 2 * MARGIN);
  const height = Math.ceil(78 + area.height + key.height + 50);
  const svg = svgElement('svg', { xmlns: SVG, width, height, viewBox: `0 0 ${width} ${height}` });
  svg.append(svgElement('rect', { width, height, fill: ink('card') }));
  svg.append(inkText(chart.title, MARGIN, 40, { fontFamily, color: ink('ink'), fontSize: '20px', fontWeight: '650' }));
  svg.append(inkText(card.querySelector('.heading p').textContent, MARGIN, 62, soft));
  const figure = svgElement('g', { transform: `translate(${MARGIN} 78)` });
  svg.append(figure);
  if (chart.kind === 'scene') {
    figure.append(svgElement('image', { width: area.width, height: area.height, href: pictureOf(chart) }));
    if (labelLayers.has(chart.key)) drawnFrom(labelLayers.get(chart.key), area, figure);
  } else for (const child of plot.childNodes) drawnFrom(child, area, figure);
  const under = svgElement('g', { transform: `translate(${MARGIN} ${at2(88 + area.height)})` });
  for (const child of legend.childNodes) drawnFrom(child, { left: key.left + parseFloat(getComputedStyle(legend).paddingLeft), top: key.top }, under);
  svg.append(under, inkText(viewWords(), MARGIN, height - 16, { ...soft, fontSize: '12px' }));
  return { text: new XMLSerializer().serializeToString(svg), width, height };
}

function download(blob, chart, ending) {
  const link = element('a');
  link.href = URL.createObjectURL(blob);
  link.download = `${report.project}-${chart.key}-${report.snapshot}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function pngOf({ text, width, height }) {
  const picture = new Image();
  picture.src = URL.createObjectURL(new Blob([text], { type: 'image/svg+xml' }));
  await picture.decode();
  URL.revokeObjectURL(picture.src);
  const canvas = element('canvas');
  [canvas.width, canvas.height] = [width * 2, height * 2];
  canvas.getContext('2d').drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, 'image/png'));
}

const SAVES = {
  png: async (chart) => pngOf(recorded(chart, () => pictureSvg(chart))),
  svg: async (chart) => new Blob([recorded(chart, () => pictureSvg(chart)).text], { type: 'image/svg+xml' }),
  csv: async (chart) => new Blob([csvOf(chart)], { type: 'text/csv' }),
};

const SAVED_AS = { png: 'PNG, twice the size', svg: 'SVG', csv: 'CSV, the rows that are shown' };

function listenToSave(chart) {
  const button = byId(`chart-${chart.key}`).querySelector('.save');
  button.addEventListener('click', () => {
    const items = Object.entries(SAVED_AS).map(([ending, label]) => {
      const item = element('button', 'item', label);
      Object.assign(item, { type: 'button', disabled: ending !== 'csv' && !atlas.drawn[chart.key] });
      item.addEventListener('click', async () => {
        popup().hidePopover();
        setPlaying(false); // a picture is read back
        try {
          download(await SAVES[ending](chart), chart, ending);
        } catch (problem) {
          complain(problem);
        }
      });
      return item;
    });
    popup().replaceChildren(...items);
    popup().setAttribute('aria-label', `Save ${chart.title}`);
    openBeside(button, popup());
    items.find(({ disabled }) => !disabled).focus();
  });
}
