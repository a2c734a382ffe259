// The ends of lines -> the names that can stand beside them without covering each other. They are
// elements over the scene, placed anew whenever it is drawn: a scene's own text disappears behind
// its walls, and its annotations make plotly draw everything again. reports/figure.py has the twin.

const MOST_LABELS = 12;
const LABEL_HEIGHT = 17; // pixels
const LETTER_WIDTH = 6.6;
const LONGEST_LABEL = 28;

const times = (m, v) => [0, 1, 2, 3].map((r) => m[r] * v[0] + m[4 + r] * v[1] + m[8 + r] * v[2] + m[12 + r] * v[3]);

// Where the camera shows a vertex, in pixels from the left upper corner.
function projector(gl, { clientWidth, clientHeight }) {
  const { projection, view, model } = gl.glplot.cameraParams;
  return (vertex) => {
    const [x, y, , w] = times(projection, times(view, times(model, [...vertex, 1])));
    return [(x / w / 2 + 0.5) * clientWidth, (0.5 - y / w / 2) * clientHeight];
  };
}

function labelOf(run) {
  const name = report.runs.name[run];
  const text = name.length > LONGEST_LABEL ? `${name.slice(0, LONGEST_LABEL)}…` : name;
  const step = report.runs.diverged[run];
  return step === null ? text : `${text}, diverged at ${grouped(step, 0)}`;
}

// Where there is room the diverged first, then the best; a run gives its place to its child's name, which follows it.
function ranked({ at }, room) {
  const runs = at.rows.map((row) => at.table.run[row]);
  const parents = new Set(runs.map((run) => report.runs.parent[run]));
  const diverged = (i) => Number(room === 'wide' && report.runs.diverged[runs[i]] !== null);
  const { accuracy, loss } = at.table;
  const best = (i) => (accuracy ? accuracy[at.rows[i]] : -loss[at.rows[i]]);
  return [...runs.keys()]
    .filter((i) => diverged(i) || !parents.has(runs[i]))
    .sort((a, b) => diverged(b) - diverged(a) || best(b) - best(a) || a - b);
}

// The labels that fit, as { run, text, left, top }.
function placedLabels({ plotly, at }, gl, element) {
  const project = projector(gl, element);
  const room = roomOf(element);
  const most = room === 'narrow' ? 3 : MOST_LABELS;
  const points = positions(plotly, gl);
  const taken = [];
  for (const i of ranked({ at }, room)) {
    if (taken.length >= most) break;
    const run = at.table.run[at.rows[i]];
    const text = labelOf(run);
    const [left, top] = project(points[i]);
    const right = left + text.length * LETTER_WIDTH + 16;
    const free = taken.every((t) => Math.abs(t.top - top) > LABEL_HEIGHT || t.right < left || right < t.left);
    const fits = left > 0 && right < element.clientWidth && top > 8 && top < element.clientHeight - 8;
    if (free && fits) taken.push({ run, text, left, right, top });
  }
  return taken;
}

const labelLayers = new Map(); // chart key -> the element that holds its labels

function showLabels(chart, placed) {
  let layer = labelLayers.get(chart.key);
  if (!layer) {
    layer = element('div', 'labels');
    layer.setAttribute('aria-hidden', 'true');
    labelLayers.set(chart.key, layer);
    plotOf(chart).after(layer);
  }
  while (layer.children.length < placed.length) layer.append(element('bdi'));
  [...layer.children].forEach((label, i) => {
    label.hidden = i >= placed.length;
    if (label.hidden) return;
    if (label.textContent !== placed[i].text) label.textContent = placed[i].text;
    label.style.transform = `translate(${(placed[i].left + 9).toFixed(1)}px, ${(placed[i].top - 9).toFixed(1)}px)`;
  });
}

// Called at each drawing of the scene.
function placeLabels(chart) {
  const place = chart.traces.findIndex(({ labels }) => labels);
  const scene = scenes.get(chart.key);
  if (place < 0 || !scene) return;
  const { plotly, at } = scene.traces[place];
  const some = !playing && at.rows[0] >= 0;
  showLabels(chart, some ? placedLabels({ plotly, at }, glOf(chart), plotOf(chart)) : []);
}
