// The data, what is chosen of it, and the two lists; conversation.js, in front of this, shows one trajectory.
const ROW = 58; // pixels; the height of .row in page.css
const SPARE_ROWS = 6; // drawn above and below what is seen
const KEPT_BLOCKS = 24; // unpacked blocks that stay in memory
const SIDES = ['kept', 'rejected']; // one queue instead while marking; 'open' too if some have no verdict
const FACETS = [['reasons', 'Reason'], ['failure', 'Failure'], ['category', 'Category'], ['tools', 'Tool']];
const NAMES = { kept: 'Kept', rejected: 'Rejected', open: 'No verdict', queue: 'To mark' };
const $ = (id) => document.getElementById(id);

const blocks = [...document.querySelectorAll('script.block')];
const unpacked = new Map();
const haystacks = []; // lower-cased text of a block's trajectories, made by the first search
const state = {
  items: [], size: 1, view: 'both', side: 'kept', query: '', found: null,
  chosen: { reasons: new Set(), failure: new Set(), category: new Set(), tools: new Set() },
  shown: { kept: [], rejected: [], open: [], queue: [] }, at: { kept: -1, rejected: -1, open: -1, queue: -1 },
  head: null, // of a run: its counts, of which the page may hold a sample
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

function values(item, facet) {
  if (facet === 'failure') return item.failure ? [item.failure] : [];
  return facet === 'category' ? [item.category] : item[facet];
}

function passes(item, except) {
  if (state.found && !state.found.has(item.number)) return false;
  return FACETS.every(([facet]) => {
    const chosen = state.chosen[facet];
    if (facet === except || !chosen.size || (['reasons', 'failure'].includes(facet) && item.side === 'kept')) return true;
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
  const trajectory = trajectories[item.number % state.size];
  const shown = isHidden(item) ? { ...trajectory, findings: [] } : trajectory;
  const verdict = verdictLine(item);
  detail.replaceChildren(...(verdict ? [verdict] : []), ...conversation(shown, state.query));
  detail.scrollTop = 0;
}

function drawList(side) {
  const { list, spacer, count } = panes[side];
  const items = state.shown[side];
  const total = state.head?.counts[side] ?? state.items.filter((item) => item.side === side).length;
  count.textContent = items.length === total ? `${total}` : `${items.length} of ${total}`;
  spacer.style.height = `${items.length * ROW}px`;
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - SPARE_ROWS);
  const last = Math.min(items.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + SPARE_ROWS);
  const rows = items.slice(first, last).map((item, place) => drawRow(side, item, first + place));
  spacer.replaceChildren(...rows);
  const words = total ? 'None matches the search and the filters.' : `${NAMES[side]}: no trajectories.`;
  if (!items.length) spacer.append(h('p', { className: 'empty' }, words));
}

function drawRow(side, item, index) {
  const calls = item.calls === 1 ? '1 call' : `${item.calls} calls`;
  const first = marking.on ? markWord(item) : h('b', {}, item.reasons.join(', '));
  const row = h('div', { className: 'row', role: 'option', id: `${side}-${item.number}` },
    h('div', { className: 'q' }, item.question),
    h('div', { className: 'sub' }, first, `${first.textContent ? ' · ' : ''}${item.category} · ${calls} · ${item.id}`));
  row.setAttribute('aria-selected', String(index === state.at[side]));
  row.style.top = `${index * ROW}px`;
  row.onclick = () => { activate(side); move(side, index); drawMarking(); };
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
  if (!SIDES.includes(view === 'both' ? 'kept' : view)) return; // before the first curation there is one pane
  state.view = view;
  document.body.classList.toggle('single', view !== 'both');
  for (const side of SIDES) panes[side].pane.hidden = view === 'both' ? side === 'open' : view !== side;
  for (const button of document.querySelectorAll('[data-view]')) {
    button.setAttribute('aria-pressed', String(button.dataset.view === view));
  }
  activate(view !== 'both' ? view : state.side === 'open' ? 'kept' : state.side);
  SIDES.forEach(drawList);
}

