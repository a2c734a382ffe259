// Where lines end -> the names and last values that can stand beside them without touching.

const NAME_HEIGHT = 14; // pixels
const MOST_NAMES = 14;
const EDGE = 24; // pixels: from further in a leader would cross other lines
const FEW_RUNS = 16;

// The last vertex of each run that is in view.
function endsOf(panel) {
  const { x, y } = panel.scales;
  const ends = new Map();
  for (const one of panel.series.filter(({ trace }) => trace.labels)) {
    for (const piece of one.pieces) {
      if (!shown[piece.run]) continue;
      const { from, to } = played(piece, one);
      let row = to - 1;
      while (row >= from && !(Number.isFinite(one.xs[row]) && Number.isFinite(one.ys[row]) && one.xs[row] <= x.range[1])) row -= 1;
      if (row < from) continue;
      const place = [x.to(one.xs[row]), y.to(one.ys[row])];
      if (place[1] >= panel.box.top - 2 && place[1] <= panel.box.bottom + 2) ends.set(piece.run, { run: piece.run, place, value: one.ys[row], marks: one.marks });
    }
  }
  return [...ends.values()];
}

// As many letters as there is room for.
function nameText(text, room) {
  if (widthOf(text) <= room) return text;
  let letters = Math.floor((text.length * room) / widthOf(text));
  while (letters > 3 && widthOf(`${text.slice(0, letters)}…`) > room) letters -= 1;
  return `${text.slice(0, Math.max(3, letters))}…`;
}

// Names are moved apart, no more than need be, and none leaves the panel: those that would touch
// make a block, which stands with its middle where the middle of its ends is.
function spreadOut(ends, { top, bottom }) {
  ends.sort((a, b) => a.place[1] - b.place[1] || a.run - b.run);
  const blocks = [];
  for (const end of ends) {
    let block = { ends: [end], sum: end.place[1] };
    for (;;) {
      const height = (block.ends.length - 1) * NAME_HEIGHT;
      const start = block.sum / block.ends.length - height / 2;
      block.start = Math.max(top, Math.min(start, bottom - 2 - height));
      const above = blocks[blocks.length - 1];
      if (!above || above.start + above.ends.length * NAME_HEIGHT <= block.start) break;
      blocks.pop();
      block = { ends: [...above.ends, ...block.ends], sum: above.sum + block.sum };
    }
    blocks.push(block);
  }
  for (const block of blocks) {
    block.ends.forEach((end, i) => {
      end.at = block.start + i * NAME_HEIGHT;
    });
  }
}

function nameOf({ run, place, value, at }, box, { chosen, faded, colour }) {
  const left = box.right + 14;
  const last = short(value);
  const name = nameText(report.runs.name[run], box.width - left - widthOf(last) - 9);
  return [
    svgElement('path', { class: 'leader', d: `M${place[0] + 3},${place[1]}L${Math.max(place[0] + 3, left - 10)},${at}H${left - 3}` }),
    svgElement('circle', { cx: place[0], cy: place[1], r: chosen ? 3.4 : 2.4, fill: colour }),
    svgElement('text', { x: left, y: at + 4, class: chosen ? 'name chosen' : faded ? 'name faded' : 'name' },
      svgElement('tspan', {}, isolated(name)), svgElement('tspan', { class: 'last', dx: 5 }, last)),
  ];
}

// Beside markers, where there is room: a name that would touch another or leave is left out.
function namesBeside(panel, ends, chosen) {
  const taken = [];
  const words = [];
  for (const { run, place } of ends) {
    const is = chosen.includes(run);
    const name = nameText(report.runs.name[run], 150);
    const wide = widthOf(name) + 4;
    const left = place[0] + 9 + wide < panel.box.width ? place[0] + 9 : place[0] - 9 - wide;
    const touches = taken.some((box) => Math.abs(box.y - place[1]) < NAME_HEIGHT && left < box.right && left + wide > box.left);
    if (touches && !is) continue;
    taken.push({ y: place[1], left, right: left + wide });
    words.push(svgElement('text', { x: left, y: place[1] - 5, class: is ? 'name chosen' : chosen.length ? 'name faded' : 'name' }, isolated(name)));
  }
  return words;
}

// Of many names the chosen runs' come first, then those that end highest and lowest in turn.
function inTurn(ends, chosen) {
  ends.sort((a, b) => a.place[1] - b.place[1] || a.run - b.run);
  const turns = ends.map((_, i) => ends[i % 2 ? ends.length - 1 - (i >> 1) : i >> 1]);
  return [...turns.filter(({ run }) => chosen.includes(run)), ...turns.filter(({ run }) => !chosen.includes(run))];
}

// Lines that end on the right have their names in the gutter; markers of the frontier, and lines that
// end further in, where they are few, have them beside their ends.
function drawNames(panel, chosen, colours) {
  const { box, series, found } = panel;
  const front = series.find(({ runs }) => runs)?.runs;
  const few = found.runs.size <= FEW_RUNS;
  const inGutter = ({ place, marks }) => box.named && !marks && place[0] > box.right - EDGE;
  const isTold = (end) => chosen.includes(end.run) || inGutter(end) || (end.marks ? front?.has(end.run) : few);
  const most = Math.min(MOST_NAMES, Math.floor((box.bottom - box.top) / NAME_HEIGHT));
  const told = inTurn(endsOf(panel).filter(isTold), chosen);
  const gutter = told.filter(inGutter).slice(0, most);
  const beside = told.filter((end) => !inGutter(end)).slice(0, most);
  spreadOut(gutter, box);
  const words = gutter.flatMap((end) => {
    const is = chosen.includes(end.run);
    return nameOf(end, box, { chosen: is, faded: chosen.length > 0 && !is, colour: colours[end.run] });
  });
  panel.words.replaceChildren(...words, ...(box.width > 340 ? namesBeside(panel, beside, chosen) : []));
}
