// The ends of lines -> the names that can stand beside them without covering each other.
// reports/figure.py does the same for the stills.

const MOST_LABELS = 12;
const LABEL_HEIGHT = 17; // pixels
const LETTER_WIDTH = 6.6;
const LONGEST_LABEL = 28;

const minus = (a, b) => a.map((value, i) => value - b[i]);
const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const unit = (a) => a.map((value) => value / Math.hypot(...a));
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const triple = ({ x, y, z }) => [x, y, z];

// Where plotly's camera shows a point, in pixels from the middle of the scene.
function projector(scene, height) {
  const eye = triple(scene.camera.eye);
  const forward = unit(minus(triple(scene.camera.center), eye));
  const right = unit(cross(forward, [0, 0, 1]));
  const up = cross(right, forward);
  const aspect = triple(scene.aspectratio);
  const axes = [scene.xaxis, scene.yaxis, scene.zaxis];
  const half = height / 2 / Math.tan(Math.PI / 8);
  return (point) => {
    const inCube = point.map((value, i) => {
      const [low, high] = axes[i].range;
      const shownValue = axes[i].type === 'log' ? Math.log10(value) : value;
      return ((shownValue - low) / (high - low) - 0.5) * aspect[i];
    });
    const ray = minus(inCube, eye);
    const depth = dot(ray, forward);
    return [(half * dot(ray, right)) / depth, (-half * dot(ray, up)) / depth];
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
  const best = (i) => at.table.accuracy[at.rows[i]];
  return [...runs.keys()]
    .filter((i) => diverged(i) || !parents.has(runs[i]))
    .sort((a, b) => diverged(b) - diverged(a) || best(b) - best(a) || a - b);
}

// Annotations, not the markers' own text: a scene's text disappears behind its walls.
function annotation({ text, point }, axes) {
  const [x, y, z] = point.map((value, i) => (axes[i].type === 'log' ? Math.log10(value) : value));
  const place = { showarrow: false, xanchor: 'left', xshift: 9, bgcolor: 'rgba(0,0,0,0)', borderpad: 0 };
  return { ...place, x, y, z, text: escaped(text), font: { size: 12, color: ink('ink') } };
}

function labels(trace, { scene }, element) {
  const { x, y, z } = trace.plotly;
  const project = projector(scene, element.clientHeight || 500);
  const room = roomOf(element);
  const most = room === 'narrow' ? 3 : MOST_LABELS;
  const taken = [];
  for (const i of ranked(trace, room)) {
    if (taken.length >= most) break;
    const text = labelOf(trace.at.table.run[trace.at.rows[i]]);
    const point = [x[i], y[i], z[i]];
    const [left, top] = project(point);
    const right = left + text.length * LETTER_WIDTH + 16;
    const free = taken.every((t) => Math.abs(t.top - top) > LABEL_HEIGHT || t.right < left || right < t.left);
    const fits = right < element.clientWidth / 2;
    if (free && fits) taken.push({ left, right, top, text, point });
  }
  return taken.map((label) => annotation(label, [scene.xaxis, scene.yaxis, scene.zaxis]));
}
