// Dragging, the wheel, two fingers, double click -> what part of a panel is seen.

const DRAGGED = 5; // pixels: less is a click

function zoomTo(panel, zoom) {
  const next = { ...state.zoom };
  if (zoom) next[panel.key] = zoom;
  else delete next[panel.key];
  change({ zoom: next });
}

// By a factor around a place in the panel.
function zoomAround(panel, [px, py], factor) {
  const zoom = { ...state.zoom[panel.key] };
  for (const [axis, at] of [['x', px], ['y', py]]) {
    const { start, end, from } = panel.scales[axis];
    const pair = [from(at + (start - at) * factor), from(at + (end - at) * factor)];
    if (pair.every(Number.isFinite) && pair[1] > pair[0]) zoom[axis] = pair;
  }
  zoomTo(panel, zoom);
}

const between = (value, low, high) => Math.min(high, Math.max(low, value));

// A narrow drag means one axis alone.
function draggedBox({ box }, [ax, ay], [bx, by]) {
  const flat = Math.abs(by - ay) < 14;
  const upright = !flat && Math.abs(bx - ax) < 14;
  const xs = upright ? [box.left, box.right] : [ax, bx].map((v) => between(v, box.left, box.right)).sort((a, b) => a - b);
  const ys = flat ? [box.top, box.bottom] : [ay, by].map((v) => between(v, box.top, box.bottom)).sort((a, b) => a - b);
  return { xs, ys, flat, upright };
}

function showBrush(panel, place) {
  const { xs, ys } = draggedBox(panel, panel.drag.from, place);
  const { style } = panel.brush;
  panel.brush.hidden = false;
  [style.left, style.top, style.width, style.height] = [xs[0], ys[0], xs[1] - xs[0], ys[1] - ys[0]].map((v) => `${v}px`);
}

function endDrag(panel, place) {
  const { xs, ys, flat, upright } = draggedBox(panel, panel.drag.from, place);
  const { x, y } = panel.scales;
  const zoom = { ...state.zoom[panel.key] };
  if (!upright) zoom.x = xs.map(x.from);
  if (!flat) zoom.y = [...ys].reverse().map(y.from);
  zoomTo(panel, zoom);
}

function listenToDrag(panel) {
  const { field } = panel;
  const fingers = new Map();
  panel.brush = element('div', 'brush');
  panel.brush.hidden = true;
  field.append(panel.brush);
  const spread = () => {
    const [a, b] = [...fingers.values()];
    return { far: Math.hypot(a[0] - b[0], a[1] - b[1]), middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2] };
  };
  field.addEventListener('pointerdown', (event) => {
    const place = pointOn(panel, event);
    fingers.set(event.pointerId, place);
    panel.pinch = fingers.size === 2 ? spread() : null;
    const held = event.pointerType === 'mouse' && event.button === 0;
    panel.drag = held ? { from: place, moved: false, id: event.pointerId } : null;
  });
  field.addEventListener('pointermove', (event) => {
    const place = pointOn(panel, event);
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, place);
    if (panel.pinch && fingers.size === 2) {
      const now = spread();
      if (now.far > 10) zoomAround(panel, now.middle, panel.pinch.far / now.far);
      panel.pinch = now;
    } else if (panel.drag && (panel.drag.moved || Math.hypot(place[0] - panel.drag.from[0], place[1] - panel.drag.from[1]) > DRAGGED)) {
      if (!panel.drag.moved) field.setPointerCapture(panel.drag.id);
      panel.drag.moved = true;
      tip.hidden = true;
      showBrush(panel, place);
    }
  });
  const up = (event) => {
    fingers.delete(event.pointerId);
    if (panel.drag?.moved && event.type === 'pointerup') endDrag(panel, pointOn(panel, event));
    panel.moved = panel.drag?.moved;
    [panel.drag, panel.pinch] = [null, null];
    panel.brush.hidden = true;
  };
  field.addEventListener('pointerup', up);
  field.addEventListener('pointercancel', up);
  field.addEventListener('click', (event) => {
    if (!panel.moved && panel.cursor && !isOfTouch(event)) pin(panel.cursor.run);
  });
  field.addEventListener('dblclick', () => zoomTo(panel, null));
  // a bare wheel scrolls the page; a pinch on a touchpad comes as a wheel with ctrl
  field.addEventListener('wheel', (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey) return;
    event.preventDefault();
    zoomAround(panel, pointOn(panel, event), Math.exp(between(event.deltaY, -60, 60) / 180));
  }, { passive: false });
}
