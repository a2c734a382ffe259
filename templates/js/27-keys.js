// Arrow keys on a panel that has the focus -> a cursor that goes along the runs and is read out.

const spoken = element('p', 'spoken');
spoken.setAttribute('aria-live', 'polite');

const KEYS_SAY = 'Left and right go along a run, up and down to the run above or below, enter pins it, plus and minus zoom, escape shows all.';

function say(panel) {
  const words = hoverWords(panel, panel.cursor).map(([label, text]) => (label ? `${label} ${text}` : text));
  spoken.textContent = `${clipped(report.runs.name[panel.cursor.run])}: ${words.join(', ')}`;
}

function moveTo(panel, near) {
  if (!near) return;
  panel.cursor = near;
  highlight(near.run);
  drawOver(panel);
  showTip(panel, [near]);
  say(panel);
}

const atRow = (panel, one, run, row) => ({ one, run, row, far: 0, place: [panel.scales.x.to(one.xs[row]), panel.scales.y.to(one.ys[row])] });

// The next row of the run that is in view, in either direction, some pixels on.
function alongRun(panel, direction) {
  const { one, run, row, place } = panel.cursor;
  const least = one.marks ? 0 : 6;
  const rows = one.pieces.filter((piece) => piece.run === run).map((piece) => played(piece, one));
  const [first, last] = [rows[0].from, rows[rows.length - 1].to - 1];
  for (let next = row + direction; next >= first && next <= last; next += direction) {
    const found = atRow(panel, one, run, next);
    const moved = Math.abs(found.place[0] - place[0]) >= least || next === first || next === last;
    if (moved && Number.isFinite(found.place[0] + found.place[1])) return found;
  }
  return null;
}

// The nearest run above or below the cursor, at the same place along x.
function acrossRuns(panel, direction) {
  const { place, run } = panel.cursor;
  const others = candidates(panel, place).filter((near) => near.run !== run);
  const beyond = others.filter((near) => (near.place[1] - place[1]) * direction > 0 || (near.place[1] === place[1] && (near.run - run) * direction > 0));
  return beyond.sort((a, b) => Math.abs(a.place[1] - place[1]) - Math.abs(b.place[1] - place[1]))[0];
}

const middleOf = ({ box }) => [(box.left + box.right) / 2, (box.top + box.bottom) / 2];

function listenToPanelKeys(panel) {
  const moves = {
    ArrowRight: () => moveTo(panel, alongRun(panel, 1)),
    ArrowLeft: () => moveTo(panel, alongRun(panel, -1)),
    ArrowUp: () => moveTo(panel, acrossRuns(panel, -1)),
    ArrowDown: () => moveTo(panel, acrossRuns(panel, 1)),
    Enter: () => panel.cursor && pin(panel.cursor.run),
    '+': () => zoomAround(panel, panel.cursor?.place || middleOf(panel), 0.7),
    '=': () => moves['+'](),
    '-': () => zoomAround(panel, panel.cursor?.place || middleOf(panel), 1 / 0.7),
  };
  panel.field.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && state.zoom[panel.key]) {
      event.stopPropagation();
      zoomTo(panel, null);
    }
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (!panel.cursor && event.key.startsWith('Arrow')) moveTo(panel, candidates(panel, middleOf(panel))[0]);
    else move();
  });
  panel.field.addEventListener('blur', () => {
    if (!panel.cursor) return;
    hideTip(panel);
    highlight(-1);
    drawOver(panel);
  });
}
