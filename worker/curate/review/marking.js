// Marks of one person, saved by the server that serves this page. A page opened as a file has no server and no marks.
const marking = { on: false, blind: false, by: '', marks: new Map(), done: [], failed: '', saving: Promise.resolve() };

async function startMarking(about) {
  Object.assign(marking, about, { on: true });
  SIDES.splice(0, 2, 'queue');
  state.side = 'queue';
  for (const item of state.items) item.side = 'queue';
  document.body.classList.add('marking');
  $('marking').hidden = false;
  for (const button of document.querySelectorAll('[data-mark]')) button.onclick = () => mark(button.dataset.mark);
  $('undo').onclick = undo;
  $('note').addEventListener('change', saveNote);
  try {
    const answer = await (await fetch('marks', { cache: 'no-store' })).json();
    if (answer.error) throw new Error(answer.error);
    for (const { number, ...saved } of answer.marks) marking.marks.set(number, saved);
  } catch (error) {
    marking.failed = `marks could not be loaded: ${error.message}`;
  }
}

const current = () => state.shown.queue[state.at.queue];
const markOf = (item) => marking.marks.get(item?.number) ?? { mark: null, note: '' };
const isHidden = (item) => marking.on && marking.blind && !markOf(item).mark;

function firstUnmarked(after) {
  const shown = state.shown.queue, open = (item) => !markOf(item).mark;
  const next = shown.findIndex((item, place) => place > after && open(item));
  return next >= 0 ? next : shown.findIndex(open);
}

function goTo(index) {
  if (index >= 0) move('queue', index);
  drawMarking();
}

// The page shows a mark at once; if it cannot be saved, the page shows the error and takes the mark back.
function setMark(item, wanted) {
  const before = markOf(item), blind = isHidden(item);
  if (wanted.mark || wanted.note) marking.marks.set(item.number, wanted); else marking.marks.delete(item.number);
  marking.saving = marking.saving.then(() => send({ number: item.number, ...wanted, blind })).then(
    () => { marking.failed = ''; drawMarking(); },
    (error) => {
      marking.failed = `not saved: ${error.message}`;
      marking.marks.set(item.number, { ...before, note: wanted.note }); // the text of a note is not lost
      redraw();
      goTo(state.shown.queue.indexOf(item));
    });
}

async function send(entry) {
  const options = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(entry) };
  const answer = await fetch('marks', options).catch(() => { throw new Error('the server has stopped; start it again and open its new address'); });
  const { error } = await answer.json();
  if (error) throw new Error(error);
}

function mark(judgement) {
  const item = current();
  if (!marking.on || !item) return;
  marking.done.push({ item, before: markOf(item) });
  setMark(item, { mark: judgement, note: $('note').value.trim() });
  const next = firstUnmarked(state.at.queue);
  redraw();
  goTo(next >= 0 ? next : state.at.queue);
}

function undo() {
  const last = marking.done.pop() ?? (markOf(current()).mark ? { item: current(), before: { ...markOf(current()), mark: null } } : null);
  if (!last) return;
  setMark(last.item, last.before);
  redraw();
  goTo(state.shown.queue.indexOf(last.item));
}

function saveNote() {
  const item = current();
  if (item && $('note').value.trim() !== markOf(item).note) {
    setMark(item, { mark: markOf(item).mark, note: $('note').value.trim() });
    redraw();
    drawMarking();
  }
}

// The verdict and the state of a mark may have changed: draw list and conversation again.
function redraw() {
  panes.queue.detail.dataset.item = '';
  select('queue', state.at.queue);
  drawList('queue');
}

function drawMarking() {
  if (!marking.on) return;
  const item = current(), { mark: given, note } = markOf(item);
  const count = state.items.filter((one) => markOf(one).mark).length, total = state.items.length;
  $('progress-text').textContent = `${count} of ${total} marked${count === total ? ': done' : ''}`;
  $('progress').max = total;
  $('progress').value = count;
  for (const button of document.querySelectorAll('[data-mark]')) {
    button.setAttribute('aria-pressed', String(button.dataset.mark === given));
  }
  $('undo').disabled = !marking.done.length && !given;
  if (document.activeElement !== $('note')) $('note').value = note;
  $('mark-problem').textContent = marking.failed;
}

function markWord(item) {
  const { mark: given, note } = markOf(item);
  return h('b', { className: `mark-word ${given ?? ''}` }, { right: '✓ right', wrong: '✗ wrong' }[given] ?? (note ? 'note' : ''));
}

// What curation decided, once it may be seen.
function verdictLine(item) {
  if (!marking.on) return null;
  if (isHidden(item)) return h('p', { className: 'verdict hidden-verdict' }, 'The verdict of curation is shown after you mark this example.');
  const words = item.reasons.length ? `Curation rejected it: ${item.reasons.join(', ')}` : 'Curation kept it';
  return h('p', { className: `verdict ${item.reasons.length ? 'rejected' : 'kept'}` }, words);
}
