// Numbers -> words, in the same way as reports/words.py.

const MISSING = 'not measured';

const grouped = (value, decimals) => {
  const [whole, fraction] = Math.abs(value).toFixed(decimals).split('.');
  const text = whole.replace(/\B(?=(\d{3})+$)/g, ',') + (fraction ? `.${fraction}` : '');
  return value < 0 && /[1-9]/.test(text) ? `-${text}` : text;
};

const stripped = (text) => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);

function exponent(value) {
  const [mantissa, power] = value.toExponential(4).split('e');
  return `${stripped(mantissa)}e${Number(power)}`;
}

function number(value, form = 'g') {
  if (value === null || value === undefined) return '–';
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞';
  if (form === 'int') return grouped(value, 0);
  const size = Math.abs(value);
  if (size >= 1e15 || (size > 0 && size < 1e-4)) return exponent(value);
  if (form[0] === 'f') return grouped(value, Number(form.slice(1)));
  if (size >= 1e4 || size === 0) return grouped(value, 0);
  return stripped(grouped(value, 4 - Math.floor(Math.log10(size))));
}

// Three digits, for the ends of a scale.
function short(value) {
  const size = Math.abs(value);
  for (const [limit, unit, letter] of [[1e12, 1e12, 'T'], [1e9, 1e9, 'G'], [1e6, 1e6, 'M'], [1e4, 1e3, 'k']]) {
    if (size >= limit && size < 1e15) return `${Number((value / unit).toPrecision(3))}${letter}`;
  }
  return number(Number(value.toPrecision(3)));
}


const LONGEST_NAME = 120;
const clipped = (text) => (text.length > LONGEST_NAME ? `${text.slice(0, LONGEST_NAME)}…` : text);

// An isolate keeps a name with right-to-left marks from turning the rest of the text round.
const isolated = (text) => `\u2068${text}\u2069`;

const counted = (amount, one, many = `${one}s`) => `${grouped(amount, 0)} ${amount === 1 ? one : many}`;
