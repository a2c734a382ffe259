// Rows -> lines and markers on a canvas (or anything else that draws as a canvas does).

const FAR = 1e5; // pixels: beyond that a canvas loses its way

const placed = (scale, value) => Math.min(FAR, Math.max(-FAR, scale.to(value)));

// One line. Where many vertices share a column of half a pixel only that column's least, greatest and
// last are drawn: the picture is the same, and 60,000 vertices are drawn within a frame.
function traceLine(pen, { from, to }, xs, ys, { x, y }) {
  let open = false; // whether the pen is on the paper
  let before = -1; // the last vertex on the left of the view
  let column = { at: NaN, count: 0 };
  const leave = () => {
    if (column.count > 1) for (const place of [column.low, column.high, column.last]) pen.lineTo(column.at / 2 + 0.25, place);
    column = { at: NaN, count: 0 };
  };
  for (let row = from; row < to; row++) {
    const px = x.to(xs[row]);
    const py = placed(y, ys[row]);
    if (Number.isNaN(px) || Number.isNaN(py)) {
      leave();
      [open, before] = [false, -1];
      continue;
    }
    if (px < x.start) {
      before = row;
      continue;
    }
    if (!open) {
      const start = before < 0 ? [px, py] : [placed(x, xs[before]), placed(y, ys[before])];
      pen.moveTo(...start);
      pen.lineTo(px, py); // of a single vertex: a dot
      open = true;
    } else if (Math.floor(px * 2) === column.at) {
      column.low = Math.min(column.low, py);
      column.high = Math.max(column.high, py);
      column.last = py;
      column.count += 1;
    } else {
      leave();
      pen.lineTo(Math.min(px, FAR), py);
      column = { at: Math.floor(px * 2), low: py, high: py, last: py, count: 1 };
    }
    if (px > x.end) break;
  }
  leave();
}

function strokeLine(pen, piece, xs, ys, scales, { colour, width, alpha = 1, dash = [] }) {
  if (piece.to - piece.from === 1) {
    // a point alone would be a dot as small as the line is thin
    drawMark(pen, 'circle', scales.x.to(xs[piece.from]), placed(scales.y, ys[piece.from]), 3, colour, alpha);
    return;
  }
  pen.setLineDash(dash);
  pen.beginPath();
  traceLine(pen, piece, xs, ys, scales);
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.globalAlpha = alpha;
  pen.stroke();
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}

const OUTLINES = {
  circle: (pen, x, y, r) => pen.arc(x, y, r, 0, 2 * Math.PI),
  square: (pen, x, y, r) => pen.rect(x - r * 0.88, y - r * 0.88, r * 1.76, r * 1.76),
  diamond: (pen, x, y, r) => {
    pen.moveTo(x, y - r * 1.2);
    pen.lineTo(x + r * 1.2, y);
    pen.lineTo(x, y + r * 1.2);
    pen.lineTo(x - r * 1.2, y);
    pen.closePath();
  },
};

function drawMark(pen, name, x, y, radius, colour, alpha = 0.9) {
  pen.beginPath();
  OUTLINES[name.replace('-open', '')](pen, x, y, radius);
  pen.globalAlpha = alpha;
  if (name.endsWith('-open')) {
    pen.strokeStyle = colour;
    pen.lineWidth = 1.8;
    pen.stroke();
  } else {
    pen.fillStyle = colour;
    pen.fill();
  }
  pen.globalAlpha = 1;
}

function drawMarks(pen, { run, from, to }, { xs, ys, trace }, { x, y }, { colour, grow = 0, alpha }) {
  const radius = (trace.plotly.marker?.size ?? 8) / 2 + grow;
  for (let row = from; row < to; row++) {
    const [px, py] = [x.to(xs[row]), y.to(ys[row])];
    if (!(px >= x.start - radius && px <= x.end + radius)) continue;
    if (Number.isFinite(py)) drawMark(pen, report.runs.symbol[run], px, placed(y, ys[row]), radius, colour, alpha);
  }
}
