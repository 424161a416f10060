// Lists, filters, search and keys. conversation.js, in front of this, shows one trajectory.
const ROW = 58; // pixels; the height of .row in page.css
const SPARE_ROWS = 6; // drawn above and below what is seen
const KEPT_BLOCKS = 24; // unpacked blocks that stay in memory
const SIDES = ['kept', 'rejected'];
const FACETS = [['reasons', 'Reason'], ['category', 'Category'], ['tools', 'Tool']];
const $ = (id) => document.getElementById(id);

const blocks = [...document.querySelectorAll('script.block')];
const unpacked = new Map();
const haystacks = []; // lower-cased JSON of a block's trajectories, made by the first search
const state = {
  items: [], size: 1, view: 'both', side: 'kept', query: '', found: null,
  chosen: { reasons: new Set(), category: new Set(), tools: new Set() },
  shown: { kept: [], rejected: [] }, at: { kept: -1, rejected: -1 },
};
const panes = {};

async function unpack(script) {
  const binary = atob(script.textContent);
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).json();
}

function block(number) {
  if (!unpacked.has(number)) {
    if (unpacked.size >= KEPT_BLOCKS) unpacked.delete(unpacked.keys().next().value);
    unpacked.set(number, unpack(blocks[number]));
  }
  return unpacked.get(number);
}

// --- what is shown -------------------------------------------------------------------------------------------------

function values(item, facet) {
  return facet === 'category' ? [item.category] : item[facet];
}

function passes(item, except) {
  if (state.found && !state.found.has(item.number)) return false;
  return FACETS.every(([facet]) => {
    const chosen = state.chosen[facet];
    if (facet === except || !chosen.size || (facet === 'reasons' && item.side === 'kept')) return true;
    return values(item, facet).some((value) => chosen.has(value));
  });
}

function apply() {
  for (const side of SIDES) {
    const before = state.shown[side][state.at[side]];
    state.shown[side] = state.items.filter((item) => item.side === side && passes(item));
    const again = state.shown[side].indexOf(before);
    select(side, again >= 0 ? again : state.shown[side].length ? 0 : -1, again >= 0);
    drawList(side);
  }
  drawFilters();
}

function select(side, index, same) {
  state.at[side] = index;
  const { list, detail } = panes[side];
  const item = state.shown[side][index];
  list.setAttribute('aria-activedescendant', item ? `${side}-${item.number}` : '');
  if (!item) {
    detail.dataset.item = '';
    detail.replaceChildren();
    return;
  }
  if (same && detail.dataset.item === `${item.number} ${state.query}`) return;
  detail.dataset.item = `${item.number} ${state.query}`;
  drawDetail(side, item, detail.dataset.item);
}

async function drawDetail(side, item, token) {
  const trajectories = await block(Math.floor(item.number / state.size));
  const { detail } = panes[side];
  if (detail.dataset.item !== token) return; // another one was chosen meanwhile
  detail.replaceChildren(...conversation(trajectories[item.number % state.size], state.query));
  detail.scrollTop = 0;
}

function drawList(side) {
  const { list, spacer, count } = panes[side];
  const items = state.shown[side];
  const total = state.items.filter((item) => item.side === side).length;
  count.textContent = items.length === total ? `${total}` : `${items.length} of ${total}`;
  spacer.style.height = `${items.length * ROW}px`;
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - SPARE_ROWS);
  const last = Math.min(items.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + SPARE_ROWS);
  const rows = items.slice(first, last).map((item, place) => drawRow(side, item, first + place));
  spacer.replaceChildren(...rows);
  const words = total ? 'None matches the search and the filters.' : `No ${side} trajectories.`;
  if (!items.length) spacer.append(h('p', { className: 'empty' }, words));
}

function drawRow(side, item, index) {
  const calls = item.calls === 1 ? '1 call' : `${item.calls} calls`;
  const row = h('div', { className: 'row', role: 'option', id: `${side}-${item.number}` },
    h('div', { className: 'q' }, item.question),
    h('div', { className: 'sub' }, item.reasons.length ? h('b', {}, item.reasons.join(', ')) : '',
      `${item.reasons.length ? ' · ' : ''}${item.category} · ${calls} · ${item.id}`));
  row.setAttribute('aria-selected', String(index === state.at[side]));
  row.style.top = `${index * ROW}px`;
  row.onclick = () => { activate(side); move(side, index); };
  return row;
}

function move(side, index) {
  const count = state.shown[side].length;
  if (!count) return;
  select(side, Math.max(0, Math.min(count - 1, index)));
  const { list } = panes[side], top = state.at[side] * ROW;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  drawList(side);
}

function activate(side) {
  state.side = side;
  for (const name of SIDES) panes[name].pane.classList.toggle('active', name === side && state.view === 'both');
}

function show(view) {
  state.view = view;
  document.body.classList.toggle('single', view !== 'both');
  for (const side of SIDES) panes[side].pane.hidden = view !== 'both' && view !== side;
  for (const button of document.querySelectorAll('[data-view]')) {
    button.setAttribute('aria-pressed', String(button.dataset.view === view));
  }
  activate(view === 'both' ? state.side : view);
  SIDES.forEach(drawList);
}

// --- filters and search ----------------------------------------------------------------------------------------------

function drawFilters() {
  const box = $('filters'), scroll = box.scrollTop, focused = document.activeElement?.name, parts = [];
  if (state.query || FACETS.some(([facet]) => state.chosen[facet].size)) {
    const clear = h('button', { type: 'button', className: 'quiet clear' }, 'Clear all filters');
    clear.onclick = clearAll;
    parts.push(clear);
  }
  for (const [facet, title] of FACETS) parts.push(...drawFacet(facet, title));
  box.replaceChildren(...parts);
  box.scrollTop = scroll;
  [...box.querySelectorAll('input')].find((input) => input.name === focused)?.focus();
}

function drawFacet(facet, title) {
  const counts = new Map();
  for (const item of state.items) {
    const counted = passes(item, facet) ? 1 : 0;
    for (const value of values(item, facet)) counts.set(value, (counts.get(value) || 0) + counted);
  }
  const sorted = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  return sorted.length ? [h('h2', {}, title), ...sorted.map(([value, count]) => drawChoice(facet, value, count))] : [];
}

function drawChoice(facet, value, count) {
  const box = h('input', { type: 'checkbox', name: `${facet} ${value}`, checked: state.chosen[facet].has(value) });
  box.onchange = () => {
    state.chosen[facet][box.checked ? 'add' : 'delete'](value);
    apply();
  };
  return h('label', { className: count ? '' : 'none', title: value }, box, h('span', { className: 'name' }, value),
    h('span', { className: 'n' }, String(count)));
}

function clearAll() {
  for (const [facet] of FACETS) state.chosen[facet].clear();
  $('search').value = '';
  return search('');
}

// Every text of a trajectory is searched, block by block, so that typing stays smooth; a newer search ends this one.
async function search(text) {
  const query = text.trim().toLowerCase();
  state.query = query;
  state.found = query ? new Set() : null;
  const found = state.found;
  for (let number = 0; query && number < blocks.length; number += 1) {
    haystacks[number] ??= (await unpack(blocks[number])).map(haystack);
    if (state.found !== found) return;
    haystacks[number].forEach((hay, place) => { if (hay.includes(query)) found.add(number * state.size + place); });
    if (number % 20 === 19) apply();
  }
  apply();
}

function haystack(trajectory) {
  const strings = [];
  const gather = (value) => {
    if (typeof value === 'string') strings.push(value);
    else if (value && typeof value === 'object') {
      for (const [key, inner] of Object.entries(value)) {
        if (!Array.isArray(value)) strings.push(key);
        gather(inner);
      }
    }
  };
  gather(trajectory);
  return strings.join('\n').toLowerCase();
}

// --- keys, theme, start ------------------------------------------------------------------------------------------------

function evidence(step) {
  const { detail } = panes[state.side];
  const marks = [...detail.querySelectorAll('.turn.evidence')];
  if (!marks.length) return;
  const middle = detail.getBoundingClientRect().top + detail.clientHeight / 2;
  const centres = marks.map((mark) => mark.getBoundingClientRect()).map((box) => box.top + box.height / 2 - middle);
  const next = step > 0 ? centres.findIndex((y) => y > 8) : centres.findLastIndex((y) => y < -8);
  marks[next >= 0 ? next : step > 0 ? 0 : marks.length - 1].scrollIntoView({ block: 'center' });
}

function setTheme(theme) {
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  $('theme').textContent = `Theme: ${theme}`;
  try { localStorage.setItem('applejack-theme', theme); } catch { /* a file opened without storage */ }
}

function nextTheme() {
  const order = ['auto', 'light', 'dark'];
  setTheme(order[(order.indexOf(document.documentElement.dataset.theme ?? 'auto') + 1) % 3]);
}

const KEYS = {
  j: () => move(state.side, state.at[state.side] + 1), k: () => move(state.side, state.at[state.side] - 1),
  h: () => (state.view === 'both' ? activate('kept') : show('kept')),
  l: () => (state.view === 'both' ? activate('rejected') : show('rejected')),
  n: () => evidence(1), p: () => evidence(-1), c: clearAll, t: nextTheme,
  1: () => show('both'), 2: () => show('kept'), 3: () => show('rejected'),
  '/': () => $('search').select(), '?': () => $('help').showModal(),
};
Object.assign(KEYS, { ArrowDown: KEYS.j, ArrowUp: KEYS.k, ArrowLeft: KEYS.h, ArrowRight: KEYS.l });

function onKey(event) {
  const typing = event.target === $('search');
  if (event.key === 'Escape' && typing) {
    $('search').value = '';
    $('search').blur();
    search('');
  } else if (!typing && !$('help').open && !event.ctrlKey && !event.metaKey && !event.altKey && KEYS[event.key]) {
    event.preventDefault();
    KEYS[event.key]();
  }
}

function makePane(side) {
  const count = h('span', {}), spacer = h('div', {}), detail = h('div', { className: 'detail', tabIndex: 0 });
  const list = h('div', { className: 'list', role: 'listbox', tabIndex: 0, ariaLabel: `${side} trajectories` }, spacer);
  const title = h('h2', {}, side === 'kept' ? 'Kept' : 'Rejected', count);
  const pane = h('section', { className: `pane ${side}` }, title, h('div', { className: 'halves' }, list, detail));
  list.addEventListener('scroll', () => drawList(side), { passive: true });
  pane.addEventListener('pointerdown', () => activate(side));
  panes[side] = { pane, list, spacer, detail, count };
  return pane;
}

async function start() {
  const index = await unpack(document.querySelector('script.index'));
  state.size = index.block;
  state.items = index.items.map((item, number) => ({ ...item, number, side: item.reasons.length ? 'rejected' : 'kept' }));
  const rejected = state.items.filter((item) => item.side === 'rejected').length;
  $('totals').textContent = `${state.items.length} read · ${state.items.length - rejected} kept · ${rejected} rejected`;
  $('panes').append(...SIDES.map(makePane));
  let typed = 0;
  $('search').addEventListener('input', () => {
    clearTimeout(typed);
    typed = setTimeout(() => search($('search').value), 150);
  });
  for (const button of document.querySelectorAll('[data-view]')) button.onclick = () => show(button.dataset.view);
  $('theme').onclick = nextTheme;
  $('show-help').onclick = () => $('help').showModal();
  $('show-filters').onclick = () => $('filters').classList.toggle('open');
  document.addEventListener('keydown', onKey);
  window.addEventListener('resize', () => SIDES.forEach(drawList));
  show(matchMedia('(max-width: 1000px)').matches ? 'rejected' : 'both');
  apply();
  document.documentElement.dataset.ready = String(Math.round(performance.now())); // milliseconds, for whoever measures
}

let theme = 'auto';
try { theme = localStorage.getItem('applejack-theme') ?? 'auto'; } catch { /* a file opened without storage */ }
setTheme(['auto', 'light', 'dark'].includes(theme) ? theme : 'auto');
start();
