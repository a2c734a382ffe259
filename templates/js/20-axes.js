// Values -> places on an axis, and the round values that it is labelled with.

const asIs = (value) => value;
const onLine = (type) => (type === 'log' ? Math.log10 : asIs);

function axisScale(type, [low, high], start, end) {
  const on = onLine(type);
  const first = on(low);
  const each = (end - start) / (on(high) - first || 1);
  const back = type === 'log' ? (value) => 10 ** value : asIs;
  return {
    type,
    range: [low, high],
    start,
    end,
    to: (value) => start + (on(value) - first) * each,
    from: (place) => back(first + (place - start) / each),
  };
}

// The range of what is drawn, with some air; of a log axis the air is in its own measure.
function aired(type, low, high, air) {
  const on = onLine(type);
  const [a, b] = [on(low), on(high)];
  const more = (b - a) * air || (type === 'log' ? 0.05 : Math.abs(low) * 0.1 || 0.5);
  // the air must not leave what a number can be
  if (type === 'log') return [10 ** Math.max(a - more, -307), 10 ** Math.min(b + more, 308)];
  return [Math.max(low - more, -Number.MAX_VALUE), Math.min(high + more, Number.MAX_VALUE)];
}

const STEPS = [1, 2, 2.5, 5, 10];

function roundStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return STEPS.find((step) => step * power >= rough * 0.999) * power;
}

function multiples(step, low, high) {
  const values = [];
  const last = Math.floor(high / step + 1e-6);
  for (let at = Math.ceil(low / step - 1e-6); at <= last && values.length < 50; at++) values.push(at * step || 0);
  return values;
}

const DECIMAL_UNITS = [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']];
const digitsOf = (step) => Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)) + (step.toExponential(1).startsWith('2.5') ? 1 : 0);

// As many digits for one as for all, or the reader would have to compare them.
function evenly(values, step) {
  const most = values.reduce((top, value) => Math.max(top, Math.abs(value)), 0);
  if (most >= 1e15 || step < 1e-6) return values.map((value) => (value === 0 ? '0' : exponent(Number(value.toPrecision(4)))));
  const [unit, letter] = (most >= 1e4 && DECIMAL_UNITS.find(([least]) => most >= least)) || [1, ''];
  return values.map((value) => (value === 0 ? '0' : stripped(grouped(value / unit, digitsOf(step / unit))) + letter));
}

function linearTicks([low, high], most) {
  const step = roundStep((high - low) / most);
  const values = multiples(step, low, high);
  return values.map((value, i) => ({ value, text: evenly(values, step)[i] }));
}

const DECADE_STEPS = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]];

function logTicks([low, high], room) {
  const most = Math.min(room, 9);
  const decades = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) decades.push(power);
  const inside = (value) => value >= low * 0.9999 && value <= high * 1.0001;
  let found = [];
  for (const steps of DECADE_STEPS) {
    const values = decades.flatMap((power) => steps.map((step) => Number(`${step}e${power}`))).filter(inside);
    if (found.length && values.length > most) break;
    found = values;
    if (values.length >= most * 0.6) break;
  }
  if (found.length < 3) return linearTicks([low, high], Math.min(most, 5)).filter(({ value }) => value > 0);
  const stride = Math.ceil(found.length / most);
  return found.filter((_, i) => i % stride === 0).map((value) => ({ value, text: short(value) }));
}

const TIME_UNITS = [
  [86400, 'd', [1, 2, 5, 10, 20, 50, 100]],
  [3600, 'h', [1, 2, 3, 6, 12, 24]],
  [60, 'min', [1, 2, 5, 10, 15, 30, 60]],
  [1, 's', [1, 2, 5, 10, 15, 30, 60]],
];

function durationTicks([low, high], most) {
  const rough = (high - low) / most;
  const [size, unit, steps] = TIME_UNITS.find(([seconds]) => rough >= seconds * 0.4) || TIME_UNITS[3];
  const step = (rough < 1 ? roundStep(rough) : steps.find((one) => one * size >= rough * 0.999)) || roundStep(rough / size);
  const values = multiples(step * size, low, high);
  return values.map((value) => ({ value, text: value === 0 ? '0' : `${stripped(grouped(value / size, digitsOf(step)))} ${unit}` }));
}

function ticksOf(axis, range, most) {
  if (axis.type === 'category') return axis.categories.map((text, value) => ({ value, text }));
  if (axis.type === 'log') return logTicks(range, most);
  if (axis.type === 'duration') return durationTicks(range, most);
  return linearTicks(range, most);
}

const axisTitle = ({ title, unit, type }) => [unit ? `${title} (${unit})` : title, type === 'log' ? 'log' : ''].filter(Boolean).join(', ');
