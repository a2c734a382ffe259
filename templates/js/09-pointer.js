// The pointer over a scene: what it says, which run it lights, what a click does; and the camera.

const highlight = (run) => change({ highlight: run });

// What was pinned is unpinned.
function pin(run) {
  const pins = state.pins.filter((other) => other !== run);
  if (pins.length === state.pins.length) pins.push(run);
  change({ pins });
}

// The row under the pointer, as { trace, at, row, run }.
function rowAt(chart, event) {
  const point = event.points && event.points[0];
  const found = point && scenes.get(chart.key).traces[point.curveNumber];
  const row = found ? found.at.rows[point.pointNumber] : -1;
  return row >= 0 ? { trace: chart.traces[point.curveNumber], at: found.at, row, run: found.at.table.run[row] } : null;
}

// Tell the scene where the pointer is, which moved(event) hears of too, as left() of its going. The
// first move waits until it is known what is where.
function followPointer(chart, plot, moved, left) {
  let early = null;
  const again = () => {
    if (early) early.target.dispatchEvent(new MouseEvent(early.type, early));
    early = null;
  };
  const over = (event) => {
    if (event.pointerType === 'touch') return;
    moved(event);
    pointerIsOver(chart, event.buttons > 0, again);
  };
  for (const name of ['pointerenter', 'pointermove', 'pointerup']) plot.addEventListener(name, over, true);
  plot.addEventListener('pointerleave', ({ pointerType }) => {
    if (pointerType === 'touch') return;
    left();
    early = null;
    pointerIsOver(null);
  });
  // what a browser makes of a tap would turn the camera by the little that it is beside the finger
  for (const name of ['mousedown', 'mousemove', 'mouseup']) plot.addEventListener(name, (event) => byTouch && event.stopPropagation(), true);
  plot.addEventListener('mousemove', (event) => {
    if (isRead(chart) || event.buttons || byTouch) return;
    early = event;
    event.stopPropagation();
  }, true);
}

// plotly's own click is lost when the button goes down and up between two slow frames
function listenToClicks(plot, clicked) {
  let down = [0, 0];
  plot.addEventListener('pointerdown', ({ clientX, clientY }) => {
    down = [clientX, clientY];
  }, true);
  plot.addEventListener('click', (event) => {
    if (!isOfTouch(event) && Math.hypot(event.clientX - down[0], event.clientY - down[1]) < 5) clicked();
  });
}

function listenToScene(chart, plot) {
  let under = -1; // the run under the pointer
  let pointer = { clientX: 0, clientY: 0 };
  const leave = () => {
    if (under < 0) return;
    under = -1;
    hideSceneTip();
    highlight(-1);
  };
  const say = (found) => {
    under = found.run;
    highlight(under);
    showSceneTip(chart, found.trace, found.at, found.row, pointer);
  };
  followPointer(chart, plot, (event) => { pointer = event; }, leave);
  plot.on('plotly_hover', (event) => {
    const found = rowAt(chart, event);
    if (found && found.trace.hover && isRead(chart)) say(found);
  });
  plot.on('plotly_unhover', leave);
  listenToClicks(plot, () => under >= 0 && pin(under));
  listenToTaps(plot, (event) => {
    const found = nearestDrawn(chart, event);
    pointer = event;
    if (found) say(found);
    else leave();
    return under;
  });
  plot.on('plotly_relayout', (event) => keepCamera(chart, event['scene.camera']));
}

// A camera that the reader has moved is a part of the view.
function keepCamera(chart, camera) {
  if (!camera) return;
  const { eye, center } = camera;
  const now = cameraOf(chart);
  const moved = ['x', 'y', 'z'].some((k) => Math.abs(eye[k] - now.eye[k]) + Math.abs(center[k] - now.center[k]) > 1e-4);
  if (!moved) return;
  changeOf(chart, 'camera', { eye, center });
  scenes.get(chart.key).camera = state.camera[chart.key]; // it is there already
}

// From where a scene can be looked at; as far from its middle as at first.
const LOOKS = { front: [0, -1, 0.02], side: [1, 0, 0.02], top: [0, -0.01, 1] };

function lookFrom(chart, look) {
  const camera = { ...state.camera };
  delete camera[chart.key];
  if (LOOKS[look]) {
    const { eye, center } = fitted(resolved(chart.layout, optionsOf(chart)), plotOf(chart)).scene.camera;
    const far = Math.hypot(eye.x - center.x, eye.y - center.y, eye.z - center.z);
    const [x, y, z] = LOOKS[look].map((part) => part * far);
    camera[chart.key] = { eye: { x: center.x + x, y: center.y + y, z: center.z + z }, center };
  }
  change({ camera });
}
