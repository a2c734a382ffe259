// A pen that writes down what a canvas's pen would draw, as SVG: for saving a chart as lines.

let recorder = null; // while a chart is saved: canvas -> its recording pen

let clips = 0;
const at2 = (value) => Number(value.toFixed(2));

function recordingPen() {
  const root = svgElement('g', {});
  const groups = [root];
  let path = '';
  let inks = { strokeStyle: '#000', fillStyle: '#000', lineWidth: 1, globalAlpha: 1, dash: '' };
  const kept = [];
  const paint = (more) => {
    if (path) groups[groups.length - 1].append(svgElement('path', { d: path, opacity: inks.globalAlpha, ...more }));
  };
  const pen = {
    root,
    beginPath: () => {
      path = '';
    },
    moveTo: (x, y) => {
      path += `M${at2(x)} ${at2(y)}`;
    },
    lineTo: (x, y) => {
      path += `L${at2(x)} ${at2(y)}`;
    },
    bezierCurveTo: (...points) => {
      path += `C${points.map(at2).join(' ')}`;
    },
    rect: (x, y, width, height) => {
      path += `M${at2(x)} ${at2(y)}h${at2(width)}v${at2(height)}h${at2(-width)}z`;
    },
    arc: (x, y, radius) => {
      path += `M${at2(x - radius)} ${at2(y)}a${at2(radius)} ${at2(radius)} 0 1 0 ${at2(radius * 2)} 0a${at2(radius)} ${at2(radius)} 0 1 0 ${at2(-radius * 2)} 0z`;
    },
    closePath: () => {
      path += 'z';
    },
    stroke: () =>
      paint({ fill: 'none', stroke: inks.strokeStyle, 'stroke-width': inks.lineWidth, 'stroke-dasharray': inks.dash, 'stroke-linejoin': 'round', 'stroke-linecap': 'round' }),
    fill: () => paint({ fill: inks.fillStyle }),
    clip: () => {
      const id = `clip-${(clips += 1)}`;
      const group = svgElement('g', { 'clip-path': `url(#${id})` }, svgElement('clipPath', { id }, svgElement('path', { d: path })));
      groups[groups.length - 1].append(group);
      groups.push(group);
    },
    save: () => kept.push([inks, groups.length]),
    restore: () => {
      const [before, depth] = kept.pop();
      inks = before;
      groups.length = depth;
    },
    setLineDash: (dashes) => {
      inks = { ...inks, dash: dashes.join(' ') };
    },
  };
  for (const name of ['strokeStyle', 'fillStyle', 'lineWidth', 'globalAlpha']) {
    Object.defineProperty(pen, name, {
      get: () => inks[name],
      set: (value) => {
        inks = { ...inks, [name]: value };
      },
    });
  }
  return pen;
}

function penOf(canvas) {
  const pen = recordingPen();
  recorder.set(canvas, pen);
  return pen;
}
