// One run's facts -> the parts of its section, made of elements, never of markup.

const bdi = (text) => element('bdi', '', String(text));

function dataTable(caption, heads, rows) {
  const head = element('tr', '', ...heads.map(([label, kind]) => {
    const cell = element('th', kind || '', label);
    cell.scope = 'col';
    return cell;
  }));
  const body = rows.map((cells) =>
    element('tr', '', ...cells.map((cell, i) => element(i ? 'td' : 'th', heads[i][1] || '', cell))),
  );
  const table = element('table', '', element('thead', '', head), element('tbody', '', ...body));
  table.ariaLabel = caption;
  return element('div', 'frame', table);
}

function sheetPart(title, ...children) {
  return element('section', 'part', element('h3', '', title), ...children);
}

const finePrint = (text) => element('p', 'fine', text);
const orDash = (it, form) => (it === null || it === undefined || it === '' ? '–' : number(it, form));

function runLink(run) {
  return element('span', 'kin', symbol(report.runs.symbol[run], `stage-${report.runs.stage[run]}`), linkTo(run), ` ${report.stages.names[report.runs.stage[run]]}`);
}

function definitions(pairs) {
  const kept = pairs.filter(([, text]) => text !== null && text !== undefined && text !== '');
  return element('dl', 'facts', ...kept.map(([label, text]) =>
    element('div', '', element('dt', '', label), element('dd', '', text instanceof Node ? text : bdi(text))),
  ));
}

function tagsOf(text) {
  if (!text) return null;
  let tags;
  try {
    tags = JSON.parse(text);
  } catch {
    return text; // cut, since it was too long
  }
  return tags.length ? element('span', 'tags', ...tags.map((tag) => element('bdi', 'tag', String(tag)))) : null;
}

const cellOf = (key, run) => report.columns[key]?.values[run] ?? null;
const utc = (text) => (text ? `${text} UTC` : null);

function factsPart(details, run) {
  const [labels] = rowsOf(details, details.labels, run);
  const [created, ended, exit, job, group, tags, notes, script] = labels ?? [];
  return definitions([
    ['Run id', cellOf('id', run)],
    ['Started', utc(created)],
    ['Ended', utc(ended)],
    ['Exit code', exit],
    ['Source project', cellOf('project', run)],
    ['Era', cellOf('era', run)],
    ['Script', script],
    ['Group', group],
    ['Job type', job],
    ['Points', orDash(cellOf('points', run), 'int')],
    ['Last step', orDash(cellOf('steps', run), 'int')],
    ['Tags', tagsOf(tags)],
    ['Notes', notes],
  ]);
}

function kinPart(run) {
  const { parent } = report.runs;
  const line = [];
  for (let at = parent[run]; at !== null && !line.includes(at); at = parent[at]) line.unshift(at);
  const children = parent.flatMap((of, child) => (of === run ? [child] : []));
  const elsewhere = parent[run] === null && cellOf('parent', run);
  const items = [
    ['Began from', line.length ? element('span', 'line', ...line.map(runLink)) : elsewhere && `${elsewhere}, not in this snapshot`],
    ['Went on as', children.length ? element('span', 'line', ...children.map(runLink)) : null],
  ];
  return items.some(([, text]) => text) ? [sheetPart('Lineage', definitions(items))] : [];
}

function segmentsPart(details, run) {
  const rows = rowsOf(details, details.segments.rows, run);
  if (!rows.length) return [];
  const heads = [['Segment', 'text'], ['Rank'], ['Started (UTC)', 'text'], ['Went on from'], ['Steps'], ['Points'], ['End', 'text']];
  const table = rows.map(([segment, rank, started, resume, first, last, points, state, exit, abandoned]) => [
    orDash(segment, 'int'),
    orDash(rank, 'int'),
    started ?? '–',
    orDash(resume, 'int'),
    first === null ? '–' : `${grouped(first, 0)}–${grouped(last, 0)}`,
    orDash(points, 'int'),
    [state ?? 'unknown', exit === null ? '' : `exit ${exit}`, abandoned === null ? '' : `replaced from step ${grouped(abandoned, 0)}`]
      .filter(Boolean)
      .join(', '),
  ]);
  return [sheetPart('Segments', dataTable('Segments', heads, table))];
}

function summaryPart(details, run) {
  const rows = packedRows(details, 'summary', run, ['metric', 'source']);
  if (!rows.length) return [];
  const rank = ({ metric }) => details.metrics[metric]?.[2] ?? Infinity; // reported only: no metric
  rows.sort((a, b) => Math.sign(rank(a) - rank(b)) || (a.metric < b.metric ? -1 : 1));
  const heads = [['Metric', 'text'], ['Last'], ['Least'], ['Greatest'], ['Best at step'], ['Points'], ['From', 'text']];
  const shownIf = (row, bit, it) => (row.has & bit ? number(it) : '–');
  const table = rows.map((row) => {
    const name = element('span', '', bdi(row.metric));
    const [unit, better] = details.metrics[row.metric] ?? [];
    if (unit) name.append(' ', element('small', '', unit));
    const best = (text, is) => (is ? element('b', '', text) : text);
    const last = row.has & HAS_LAST ? number(row.last) : row.has & HAS_REPORTED ? `${number(row.reported)} reported` : '–';
    return [
      name,
      last,
      best(shownIf(row, HAS_MIN, row.min), better === 'min'),
      best(shownIf(row, HAS_MAX, row.max), better === 'max'),
      Number.isNaN(row.best_step) ? '–' : number(row.best_step, 'int'),
      Number.isNaN(row.points) ? '–' : number(row.points, 'int'),
      row.source || 'reported only',
    ];
  });
  const left = details.left.summary;
  const notes = left ? [finePrint(`${grouped(left, 0)} more results of the project found no room here: select * from summary.`)] : [];
  return [sheetPart('Results', dataTable('Results', heads, table), finePrint('The better end is set in bold, where the better direction is known.'), ...notes)];
}

const FILTER_FROM = 25; // settings from which a search among them helps

function settingsPart(details, run) {
  const settings = settingsOf(details, run);
  if (!settings.length) return [sheetPart('Config', finePrint('No source of this run states a config.'))];
  const inherited = new Map(rowsOf(details, details.inherited.map(([of, key, whose]) => [of, [key], [whose]]), run));
  const resolved = settings.some(([, { effective }]) => effective !== undefined);
  const heads = [['Key', 'text'], ['Asked', 'text'], ...(resolved ? [['Came of it', 'text']] : [])];
  const rows = settings.map(([key, { requested, effective }]) =>
    [bdi(key), bdi(requested ?? '–'), bdi(effective ?? '–')].slice(0, heads.length),
  );
  const table = dataTable('Config', heads, rows);
  const children = [table];
  if (inherited.size) children.push(finePrint(`From its parents, for the charts: ${[...inherited].map(([key, whose]) => `${key} (${clipped(whose)})`).join(', ')}.`));
  if (details.config.left) children.push(finePrint(`${grouped(details.config.left, 0)} settings of the project found no room here: select * from config.`));
  if (settings.length >= FILTER_FROM) children.unshift(settingsFilter(table, settings.length));
  return [sheetPart('Config', ...children)];
}

function settingsFilter(table, total) {
  const box = element('input', '');
  Object.assign(box, { type: 'search', placeholder: `Find among ${grouped(total, 0)} settings`, ariaLabel: 'Find a setting', spellcheck: false });
  box.addEventListener('input', () => {
    for (const row of table.querySelectorAll('tbody tr')) row.hidden = !holds(row.textContent, box.value.trim());
  });
  return box;
}

function machinePart(details, run) {
  const rows = packedRows(details, 'telemetry', run, ['metric']);
  const versions = rowsOf(details, details.segments.rows, run).map((row) => row.at(-1)).filter(Boolean);
  const parts = [];
  if (versions.length) parts.push(sheetPart('Environment', environment(versions)));
  if (rows.length) {
    const heads = [['Measured', 'text'], ['Least'], ['Median'], ['Greatest'], ['Devices']];
    const table = rows.map((row) => {
      const unit = details.units[row.metric];
      const name = element('span', '', bdi(row.metric), ...(unit ? [' ', element('small', '', unit)] : []));
      return [name, number(row.min), number(row.median), number(row.max), number(row.devices, 'int')];
    });
    parts.push(sheetPart('Machine', dataTable('Machine', heads, table)));
  }
  return parts;
}

// The last segment's versions; an earlier one's stand behind them where they differ.
function environment(versions) {
  const parsed = versions.flatMap((text) => {
    try {
      return [JSON.parse(text)];
    } catch {
      return []; // cut, since it was too long
    }
  });
  const names = [...new Set(parsed.flatMap(Object.keys))].sort();
  return definitions(names.map((name) => {
    const seen = [...new Set(parsed.map((one) => one[name]).filter((text) => text !== undefined))];
    const last = seen.at(-1);
    return [name.replaceAll('_', ' '), seen.length > 1 ? `${last} (before: ${seen.slice(0, -1).join(', ')})` : last];
  }));
}

function originPart(details, run) {
  const sources = new Map();
  for (const { source, points } of packedRows(details, 'summary', run, ['metric', 'source'])) {
    if (!source) continue;
    const known = sources.get(source) ?? { points: 0, metrics: 0 };
    sources.set(source, { points: known.points + points, metrics: known.metrics + 1 });
  }
  const children = [];
  if (sources.size) {
    const heads = [['Source', 'text'], ['Metrics'], ['Points']];
    children.push(dataTable('Sources', heads, [...sources].map(([source, of]) => [source, number(of.metrics, 'int'), number(of.points, 'int')])));
  }
  const differing = rowsOf(details, details.disagreements.rows, run);
  if (differing.length) {
    const heads = [['Disagreement', 'text'], ['Kept / other', 'text'], ['Points'], ['Largest']];
    children.push(dataTable('Disagreements', heads, differing.map(([metric, kept, other, points, largest]) => [bdi(metric), `${kept} / ${other}`, number(points, 'int'), number(largest)])));
  }
  const explain = element('code', '', `python -m etl.sync --project ${report.project} --explain ${JSON.stringify(clipped(cellOf('id', run)))}`);
  children.push(element('p', 'fine', 'Every file of the run, and why it is taken for it: ', explain));
  return [sheetPart('Where this comes from', ...children)];
}

function consolePart(details, run) {
  const id = clipped(cellOf('id', run)).replaceAll("'", "''");
  const query = element('code', '', `select text from console where run_id = '${id}' order by segment desc, line desc limit 40`);
  const tail = details.console[run];
  if (tail) return [sheetPart('Console', element('pre', '', tail), finePrint('The last lines, without what looks like a secret, a person or a home folder.'))];
  const why = tail === null ? 'The last lines of other runs took all the room there is.' : 'What a run printed may hold anything, so a snapshot keeps it only where project.toml says console_lines = 40.';
  return [sheetPart('Console', element('p', 'fine', `${why} In runs.duckdb: `, query))];
}
