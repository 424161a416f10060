// Keys, theme and the start of the page.
function evidence(step) {
  const { detail } = panes[state.side];
  const marks = [...detail.querySelectorAll('.turn.evidence')];
  if (!marks.length) return;
  const middle = detail.getBoundingClientRect().top + detail.clientHeight / 2;
  const centres = marks.map((mark) => mark.getBoundingClientRect()).map((box) => box.top + box.height / 2 - middle);
  const next = step > 0 ? centres.findIndex((y) => y > 8) : centres.findLastIndex((y) => y < -8);
  marks[next >= 0 ? next : step > 0 ? 0 : marks.length - 1].scrollIntoView({ block: 'center' });
}

function page(event) {
  const { detail } = panes[state.side];
  detail.scrollBy({ top: (event.shiftKey ? -0.8 : 0.8) * detail.clientHeight });
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
  e: () => evidence(1), E: () => evidence(-1), c: clearAll, t: nextTheme,
  1: () => show('both'), 2: () => show('kept'), 3: () => show('rejected'), 4: () => SIDES.includes('open') && show('open'),
  '/': () => $('search').select(), '?': () => $('help').showModal(), ' ': page,
};
Object.assign(KEYS, { ArrowDown: KEYS.j, ArrowUp: KEYS.k, ArrowLeft: KEYS.h, ArrowRight: KEYS.l });

const MARKING_KEYS = {
  j: () => goTo(state.at.queue + 1), k: () => goTo(state.at.queue - 1), r: () => mark('right'), w: () => mark('wrong'),
  u: undo, n: () => $('note').focus(), e: KEYS.e, E: KEYS.E, t: nextTheme, '/': KEYS['/'], '?': KEYS['?'], ' ': page,
};
Object.assign(MARKING_KEYS, { ArrowDown: MARKING_KEYS.j, ArrowUp: MARKING_KEYS.k });

function onKey(event) {
  const typing = event.target === $('search') || event.target === $('note');
  const keys = marking.on ? MARKING_KEYS : KEYS;
  if (event.key === ' ' && event.target.closest('button, summary, input')) return; // a space activates these
  if (event.target === $('note')) {
    if (event.key === 'Enter' || event.key === 'Escape') $('note').blur();
  } else if (event.key === 'Escape' && typing) {
    $('search').value = '';
    $('search').blur();
    search('');
  } else if (!typing && !$('help').open && !event.ctrlKey && !event.metaKey && !event.altKey && keys[event.key]) {
    event.preventDefault();
    keys[event.key](event);
  }
}

function makePane(side) {
  const count = h('span', {}), spacer = h('div', {}), detail = h('div', { className: 'detail', tabIndex: 0 });
  const list = h('div', { className: 'list', role: 'listbox', tabIndex: 0, ariaLabel: `${side} trajectories` }, spacer);
  const title = h('h2', {}, NAMES[side], count);
  const pane = h('section', { className: `pane ${side}` }, title, h('div', { className: 'halves' }, list, detail));
  list.addEventListener('scroll', () => drawList(side), { passive: true });
  pane.addEventListener('pointerdown', () => activate(side));
  panes[side] = { pane, list, spacer, detail, count };
  return pane;
}

// Counts and notes of a run; a pane for what has no verdict, the only one before the first curation.
function describeRun(head) {
  state.head = head;
  $('totals').textContent = head.totals;
  $('notes').replaceChildren(...head.notes.map((note) => h('p', {}, note)));
  $('notes').hidden = !head.notes.length;
  if (!head.curated) SIDES.splice(0, 2, 'open');
  else if (state.items.some((item) => item.side === 'open')) SIDES.push('open');
  for (const button of document.querySelectorAll('[data-view]')) {
    button.hidden = button.dataset.view === 'both' ? !head.curated : !SIDES.includes(button.dataset.view);
  }
}

async function start() {
  const index = await unpack(document.querySelector('script.index'));
  state.size = index.block;
  state.items = index.items.map((item, number) => ({ side: item.reasons.length ? 'rejected' : 'kept', ...item, number }));
  const rejected = state.items.filter((item) => item.side === 'rejected').length;
  const { correct } = index;
  $('totals').textContent = `${state.items.length} read · ${state.items.length - rejected} kept · ${rejected} rejected`
    + (correct?.of ? ` · correct: ${correct.count} of ${correct.of}` : '');
  if (index.head) describeRun(index.head);
  if (index.marking) {
    await startMarking(index.marking);
    $('totals').textContent = `marked by ${marking.by}`;
  }
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
  show(marking.on ? 'queue' : SIDES.length === 1 ? 'open' : matchMedia('(max-width: 1000px)').matches ? 'rejected' : 'both');
  apply();
  if (marking.on) goTo(firstUnmarked(-1));
  document.documentElement.dataset.ready = String(Math.round(performance.now())); // milliseconds, for whoever measures
}

let theme = 'auto';
try { theme = localStorage.getItem('applejack-theme') ?? 'auto'; } catch { /* a file opened without storage */ }
setTheme(['auto', 'light', 'dark'].includes(theme) ? theme : 'auto');
start();
