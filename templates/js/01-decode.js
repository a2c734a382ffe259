// The packed columns -> typed arrays. The other side is reports/pack.py.

const bytesOf = (text) =>
  Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

async function gunzip(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Undo the byte shuffle: all first bytes come first, then all second ones, and so on.
function unshuffled(bytes, at, n, width) {
  const out = new Uint8Array(n * width);
  for (let plane = 0; plane < width; plane++) {
    for (let i = 0; i < n; i++) out[i * width + plane] = bytes[at + plane * n + i];
  }
  return out.buffer;
}

// Zigzag deltas; the addition wraps at 32 bits, as the packing did.
function summed(buffer) {
  const codes = new Uint32Array(buffer);
  const values = new Int32Array(codes.length);
  let value = 0;
  for (let i = 0; i < codes.length; i++) {
    value = (value + ((codes[i] >>> 1) ^ -(codes[i] & 1))) | 0;
    values[i] = value;
  }
  return values;
}

function column(bytes, { kind, n, at }) {
  if (kind === 'f8') return new Float64Array(unshuffled(bytes, at, n, 8));
  const values = summed(unshuffled(bytes, at, n, 4));
  return kind === 'f4' ? new Float32Array(values.buffer) : values;
}

const mapValues = (object, change) =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));

async function decode(text, index) {
  const bytes = await gunzip(bytesOf(text));
  return mapValues(index, (columns) => mapValues(columns, (entry) => column(bytes, entry)));
}
