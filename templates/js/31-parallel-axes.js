// The axes of parallel coordinates: their names move them, dragging along them keeps runs.

const AXIS_KEYS_SAY = 'left and right move the axis, up and down keep a part of it, escape keeps all';

function moveAxis(view, key, to) {
  const keys = view.columns.map(({ dimension }) => dimension.key);
  const from = keys.indexOf(key);
  keys.splice(from, 1);
  keys.splice(Math.max(0, Math.min(to, keys.length)), 0, key);
  changeOf(view.chart, 'options', { ...state.options[view.chart.key], order: keys.join(',') });
}

function placeBrush(brush, { scale }, pair) {
  brush.hidden = !pair;
  if (!pair) return;
  const [top, bottom] = [scale.to(pair[1]), scale.to(pair[0])].map((y) => Math.max(scale.end, Math.min(scale.start, y)));
  brush.style.top = `${top - scale.end}px`;
  brush.style.height = `${Math.max(2, bottom - top)}px`;
}

function makeAxis(view, column) {
  const { dimension, x, scale } = column;
  const { chart, size } = view;
  const title = dimension.unit ? `${dimension.label} (${dimension.unit})` : dimension.label;
  const name = element('button', dimension.result ? 'axis-name result' : 'axis-name', element('bdi', '', clipped(dimension.label)));
  name.type = 'button';
  name.title = `${title}${dimension.type === 'log' ? ', log' : ''}: drag to move`;
  name.setAttribute('aria-label', `${title}: ${AXIS_KEYS_SAY}`);
  const brush = element('div', 'axis-brush');
  const ticks = dimensionTicks(dimension, scale).map(({ value, text }) => {
    const made = element('span', 'axis-tick', clipped(text));
    made.style.top = `${scale.to(value) - size.top}px`;
    return made;
  });
  const strip = element('div', 'axis-strip', ...apartDown(ticks), brush);
  const axis = element('div', 'axis', name, strip);
  axis.style.left = `${x - view.each / 2}px`;
  axis.style.width = `${view.each}px`;
  strip.style.height = `${size.bottom - size.top}px`;
  placeBrush(brush, column, brushOf(chart, dimension));
  listenToStrip(view, column, strip, brush);
  listenToAxisName(view, column, name, axis);
  return axis;
}

function apartDown(ticks) {
  const sorted = ticks.sort((a, b) => parseFloat(b.style.top) - parseFloat(a.style.top));
  let last = Infinity;
  return sorted.filter((tick) => {
    const top = parseFloat(tick.style.top);
    if (last - top < 13) return false;
    last = top;
    return true;
  });
}

function listenToStrip(view, column, strip, brush) {
  const { chart } = view;
  const { dimension, scale } = column;
  let from = null;
  const at = ({ clientY }) => Math.max(scale.end, Math.min(scale.start, clientY - strip.getBoundingClientRect().top + scale.end));
  const pairOf = (a, b) => [scale.from(Math.max(a, b)), scale.from(Math.min(a, b))];
  strip.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    from = at(event);
    strip.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  strip.addEventListener('pointermove', (event) => {
    if (from === null) return;
    event.stopPropagation();
    if (Math.abs(at(event) - from) >= 3) placeBrush(brush, column, pairOf(from, at(event)));
  });
  strip.addEventListener('pointerup', (event) => {
    if (from === null) return;
    const to = at(event);
    setBrush(chart, dimension, Math.abs(to - from) < 3 ? null : pairOf(from, to));
    from = null;
  });
}

// With the arrow keys a tenth of the axis at a time is kept or left.
function nudgeBrush(view, { dimension, scale }, direction) {
  const ends = [scale.start, scale.end];
  const brush = brushOf(view.chart, dimension);
  const places = brush ? brush.map(scale.to) : ends;
  const step = ((ends[1] - ends[0]) / 10) * direction;
  const moved = direction > 0 ? [places[0] + step, places[1]] : [places[0], places[1] + step];
  if (moved[0] - moved[1] < 4) return;
  setBrush(view.chart, dimension, moved.map(scale.from));
  spoken.textContent = `${dimension.label}: ${moved.map((place) => short(scale.from(place))).join(' to ')}`;
}

function listenToAxisName(view, column, name, axis) {
  const { dimension } = column;
  const here = () => view.columns.findIndex((other) => other.dimension.key === dimension.key);
  let from = null;
  name.addEventListener('pointerdown', (event) => {
    from = event.clientX;
    name.setPointerCapture(event.pointerId);
  });
  name.addEventListener('pointermove', (event) => {
    if (from === null) return;
    axis.style.transform = `translateX(${event.clientX - from}px)`;
    axis.classList.add('moving');
  });
  name.addEventListener('pointerup', (event) => {
    const by = Math.round((event.clientX - from) / view.each);
    from = null;
    axis.classList.remove('moving');
    axis.style.transform = '';
    if (by) moveAxis(view, dimension.key, here() + by);
  });
  name.addEventListener('keydown', (event) => {
    const moves = {
      ArrowLeft: () => moveAxis(view, dimension.key, here() - 1),
      ArrowRight: () => moveAxis(view, dimension.key, here() + 1),
      ArrowUp: () => nudgeBrush(view, column, 1),
      ArrowDown: () => nudgeBrush(view, column, -1),
      Escape: () => setBrush(view.chart, dimension, null),
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    view.focus = dimension.key; // the axes are made anew
    moves[event.key]();
  });
}
