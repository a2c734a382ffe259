// A small sheet at the legend: which scale a number is coloured on, or in which buckets.

// One popup for all: what is open closes when another opens.
let popupElement = null;
function popup() {
  if (!popupElement) {
    popupElement = element('div', 'popup');
    popupElement.popover = 'auto';
    popupElement.setAttribute('role', 'dialog');
    document.body.append(popupElement);
  }
  return popupElement;
}

function openBeside(button, sheet) {
  sheet.showPopover();
  const { left, top, bottom } = button.getBoundingClientRect();
  const { width, height } = sheet.getBoundingClientRect();
  sheet.style.left = `${Math.max(6, Math.min(left, innerWidth - width - 6))}px`;
  sheet.style.top = `${bottom + 6 + height < innerHeight ? bottom + 6 : Math.max(6, top - height - 6)}px`;
}

function scaleButton(key) {
  const button = element('button', 'edit', 'scale');
  button.type = 'button';
  button.setAttribute('aria-label', `${report.columns[key].label}: change the scale`);
  button.addEventListener('click', () => {
    const sheet = popup();
    sheet.replaceChildren(...scaleEditor(key));
    sheet.setAttribute('aria-label', `Scale of ${report.columns[key].label}`);
    openBeside(button, sheet);
    sheet.querySelector('input:checked').focus();
  });
  return button;
}

function choices(legend, name, options, chosen, choose) {
  const group = element('fieldset', 'choices', element('legend', '', legend));
  for (const [value, label] of options) {
    const input = element('input');
    Object.assign(input, { type: 'radio', name, value, checked: value === chosen });
    input.addEventListener('change', () => choose(value));
    group.append(element('label', '', input, element('span', '', label)));
  }
  return group;
}

// Bounds such that about as many runs are in each bucket.
function quantiles(values, amount) {
  const sorted = values.filter(isNumber).sort((a, b) => a - b);
  const at = (share) => sorted[Math.floor(share * (sorted.length - 1) + 0.5)];
  const bounds = Array.from({ length: amount - 1 }, (_, i) => Number(at((i + 1) / amount).toPrecision(3)));
  return [...new Set(bounds)].filter((bound) => bound > sorted[0]);
}

function setBuckets(key, bounds) {
  const buckets = { ...state.buckets };
  if (bounds && bounds.length) buckets[key] = bounds;
  else delete buckets[key];
  change({ buckets });
}

function bucketEditor(key) {
  const box = element('input');
  Object.assign(box, { type: 'text', value: (state.buckets[key] || []).join(', '), placeholder: 'none', inputMode: 'decimal' });
  const says = element('p', 'fine');
  says.setAttribute('role', 'status');
  const read = () => {
    const text = box.value.trim();
    const bounds = text ? readBounds(text.replace(/[\s;]+/g, ',').replace(/,+/g, ',')) : [];
    box.setAttribute('aria-invalid', String(!bounds));
    says.textContent = bounds ? '' : `Up to ${MOST_CATEGORIES - 1} numbers, each greater than the one before: 4, 8, 12`;
    if (bounds) setBuckets(key, bounds);
  };
  box.addEventListener('input', read);
  const even = element('button', 'edit', 'even shares');
  even.type = 'button';
  even.addEventListener('click', () => {
    box.value = quantiles(report.columns[key].values, 4).join(', ');
    read();
  });
  return element('div', 'choices', element('label', '', element('span', 'what', 'Buckets at'), box), even, says);
}

function scaleEditor(key) {
  const ramps = Object.keys(report.scales).map((name) => [name, name === 'diverging' ? 'around the baseline' : name]);
  const logs = [['', 'automatic'], ['log', 'log'], ['linear', 'linear']];
  return [
    choices('Colours', 'ramp', ramps, state.scale || 'viridis', (scale) => change({ scale: scale === 'viridis' ? '' : scale })),
    choices('Scale', 'log', logs, state.log, (log) => change({ log })),
    bucketEditor(key),
  ];
}
