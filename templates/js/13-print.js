// WebGL canvases print cropped or blank: for the printer each scene becomes a picture of itself.

function pictureOf(chart) {
  const picture = element('img', 'printed');
  picture.alt = '';
  picture.src = plotOf(chart)._fullLayout.scene._scene.toImage('png');
  picture.style.background = ink('card');
  return picture;
}

function beforePrint() {
  for (const chart of SCENES) {
    if (scenes.has(chart.key)) plotOf(chart).after(pictureOf(chart));
  }
}

function afterPrint() {
  for (const picture of document.querySelectorAll('.printed')) picture.remove();
}

addEventListener('beforeprint', beforePrint);
addEventListener('afterprint', afterPrint);
