// The page comes to life: the table and the controls first, then the scenes.

async function main() {
  listenToFragment();
  showTheme();
  listenToTheme();
  listenToStages();
  listenToFilter();
  bind('colour', 'colour', 'change');
  bind('along', 'x', 'change');
  bind('smooth', 'smooth', 'input', Number);
  listenToTable();
  listenToPins();
  listenToSheet();
  listenToPosters();
  listenToKeys();
  listenToScrubber();
  listenToFingers();
  for (const chart of report.charts) {
    listenToOptions(chart);
    listenToButtons(chart);
    listenToSave(chart);
    listenToRows(chart);
  }
  listen(['shown', 'options', 'x', 'at'], showOpenRows);
  listenToScenes();
  document.body.append(sceneTip);
  showLegends();
  listen(['colours'], showLegends);
  document.documentElement.classList.add('live');
  atlas.interactive = true;
  tables = await decode(byId('data').textContent, report.index);
  startPlanes();
  startParallel();
  await nextFrame(); // what can be read is on the screen before plotly takes half a second
  await loadPlotly();
  atlas.webgl = hasWebGL(); // not earlier: a context waits for the GPU, which still paints the page
  if (!atlas.webgl) {
    document.documentElement.classList.add('no-webgl');
    atlas.ready = true;
    return;
  }
  watchScenes();
  listenToWidth();
}

main().catch(complain);
