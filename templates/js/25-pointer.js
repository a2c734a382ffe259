// The pointer over a panel -> the nearest runs, in words beside it and lit up everywhere.

const NEAR = 44; // pixels
const MOST_LISTED = 7;

// Of a line's rows, the one nearest to a place along x; they stand in the order of x.
function nearestRow(xs, { from, to }, value) {
  let [low, high] = [from, to - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low > from && value - xs[low - 1] < xs[low] - value ? low - 1 : low;
}

function candidates(panel, [px, py]) {
  const { x, y } = panel.scales;
  const found = new Map();
  const offer = (one, run, row) => {
    const place = [x.to(one.xs[row]), y.to(one.ys[row])];
    if (!Number.isFinite(place[0] + place[1])) return;
    const line = one.smooth && state.smooth > 0 ? y.to(panel.smooth(one)[row]) : place[1];
    const aside = Math.abs(place[0] - px);
    const off = Math.min(Math.abs(place[1] - py), Math.abs(line - py));
    const far = one.marks ? Math.hypot(aside, off) : off + Math.max(0, aside - 12);
    if (!found.has(run) || found.get(run).far > far) found.set(run, { run, row, one, place, far });
  };
  const value = x.from(px);
  for (const one of panel.series) {
    if (one.trace.role !== 'data') continue;
    for (const piece of one.pieces) {
      if (!shown[piece.run]) continue;
      const { from, to } = played(piece, one);
      if (to <= from) continue;
      if (one.marks) for (let row = from; row < to; row++) offer(one, piece.run, row);
      else offer(one, piece.run, nearestRow(one.xs, { from, to }, value));
    }
  }
  return [...found.values()].sort((a, b) => a.far - b.far);
}

const tip = element('div', 'tip');
tip.hidden = true;
tip.setAttribute('aria-hidden', 'true');

const hoverWords = ({ chart }, { one, row }) => hoverWordsAt(chart, one.trace, one.table, one.rows[row]);

function tipRow(panel, near, colours) {
  const swatch = element('i');
  swatch.style.background = colours[near.run];
  const { ys } = near.one;
  const { unit } = panel.axes.y;
  const value = number(ys[near.row]);
  return element('div', 'tip-row', swatch, element('bdi', '', clipped(report.runs.name[near.run])), element('b', '', unit ? `${value} ${unit}` : value));
}

function showTip(panel, near) {
  const { colours } = colourOf(panel.chart);
  const [first] = near;
  const lines = hoverWords(panel, first).map(([label, text]) => element('p', '', ...(label ? [element('span', '', label), element('b', '', text)] : [text])));
  const name = element('p', 'tip-name', element('bdi', '', clipped(report.runs.name[first.run])));
  const others = near.slice(1, MOST_LISTED).filter(({ far }) => far < NEAR * 2);
  const more = others.length ? [element('div', 'tip-others', ...others.map((one) => tipRow(panel, one, colours)))] : [];
  tip.replaceChildren(name, ...lines, ...more);
  tip.style.borderLeftColor = colours[first.run];
  const frame = panel.field.getBoundingClientRect();
  placeTip(tip, frame.left + first.place[0], frame.top + first.place[1], panel.field);
}

function hideTip(panel) {
  tip.hidden = true;
  panel.cursor = null;
}

function drawCursor(pen, panel) {
  if (!panel.cursor) return;
  const { place, run } = panel.cursor;
  const { top, bottom, left, right } = panel.box;
  if (place[0] < left - 1 || place[0] > right + 1) return;
  pen.strokeStyle = ink('shade');
  pen.lineWidth = 1;
  pen.setLineDash([3, 3]);
  pen.beginPath();
  pen.moveTo(place[0], top);
  pen.lineTo(place[0], bottom);
  pen.stroke();
  pen.setLineDash([]);
  drawMark(pen, 'circle', place[0], place[1], 5.5, ink('card'), 1);
  drawMark(pen, 'circle', place[0], place[1], 3.8, colourOf(panel.chart).colours[run], 1);
}

function pointAt(panel, place) {
  const near = candidates(panel, place);
  const hit = near.length && near[0].far < NEAR ? near[0] : null;
  panel.cursor = hit;
  if (hit) showTip(panel, near);
  else tip.hidden = true;
  if (state.highlight !== (hit ? hit.run : -1)) highlight(hit ? hit.run : -1);
  else drawOver(panel);
}

const pointOn = (panel, { clientX, clientY }) => {
  const frame = panel.field.getBoundingClientRect();
  return [clientX - frame.left, clientY - frame.top];
};

function listenToPointer(panel) {
  let waits = null;
  panel.field.addEventListener('pointermove', (event) => {
    if (panel.drag) return;
    if (!waits) requestAnimationFrame(() => {
      const place = waits;
      waits = null;
      if (!panel.drag) pointAt(panel, place);
    });
    waits = pointOn(panel, event);
  });
  const leave = () => {
    waits = waits && [-1e6, -1e6];
    hideTip(panel);
    if (state.highlight >= 0) highlight(-1);
    else drawOver(panel);
  };
  panel.field.addEventListener('pointerleave', ({ pointerType }) => pointerType !== 'touch' && leave());
  panel.field.addEventListener('pointercancel', leave); // the finger scrolls the page
  listenToTaps(panel.field, (event) => {
    pointAt(panel, pointOn(panel, event));
    return panel.cursor ? panel.cursor.run : -1;
  });
}
