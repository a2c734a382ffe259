// What the page starts with: it unpacks the page's document and its script, and runs that. The other
// side is reports/embed.py.
(() => {
  'use strict';

  // Printable characters, none of which means anything in HTML: two of them are 13 bits.
  const CODES = new Uint8Array(127);
  for (let at = 33, code = 0; at < 127; at++) if (!'&<>'.includes(String.fromCharCode(at))) CODES[at] = code++;

  // The first two pairs are how many bytes there are.
  function bytesOf(text) {
    const pair = (at) => CODES[text.charCodeAt(at)] * 91 + CODES[text.charCodeAt(at + 1)];
    const bytes = new Uint8Array(pair(0) * 8192 + pair(2));
    let bits = 0;
    let held = 0;
    let n = 0;
    for (let at = 4; at < text.length; at += 2) {
      held = ((held & ((1 << bits) - 1)) << 13) | pair(at);
      for (bits += 13; bits >= 8; n++) bytes[n] = held >>> (bits -= 8); // past its end nothing is kept
    }
    return bytes;
  }

  async function gunzip(bytes) {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  async function textOf(id) {
    return new TextDecoder().decode(await gunzip(bytesOf(document.getElementById(id).textContent)));
  }

  // A script of its own, whose hash the page's policy names.
  async function run(id) {
    const script = document.createElement('script');
    script.textContent = await textOf(id);
    document.head.append(script);
  }

  async function start() {
    const told = JSON.parse(await textOf('report'));
    for (const [place, markup] of Object.entries(JSON.parse(await textOf('late')))) {
      document.querySelector(place).insertAdjacentHTML('beforeend', markup);
    }
    window.__parts = { bytesOf, gunzip, run, document: told };
    await run('script');
  }

  start();
})();
