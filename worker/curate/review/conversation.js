// One trajectory as a conversation. Every text from the data goes through textContent, never through markup.
'use strict';

const FOLD_LINES = 16;
const FOLD_CHARACTERS = 1800;

function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name in element && name !== 'role') element[name] = value; else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ''));
  return element;
}

const unescaped = (text) => text.replace(/\\(.)/g, (_, c) => ({ n: '\n', t: '\t', r: '\r' })[c] ?? c);
const unquoted = (text) => unescaped(text.slice(1, -1));

// The pieces of text a finding quotes: Python's repr puts them in '...' or "...".
function quoted(detail) {
  const pieces = [];
  for (const [, single, double] of detail.matchAll(/'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"/g)) {
    const text = unescaped(single ?? double);
    if (text.trim().length > 2) pieces.push(text);
  }
  return pieces;
}

// The text with evidence and search hits marked; the longest piece wins where two begin together.
function marked(text, evidence, hit) {
  const pieces = [...evidence.map((piece) => [piece, '']), ...(hit ? [[hit, 'hit']] : [])];
  const low = text.toLowerCase(), spans = [];
  for (const [piece, kind] of pieces) {
    const wanted = piece.toLowerCase();
    for (let at = low.indexOf(wanted); at >= 0 && spans.length < 500; at = low.indexOf(wanted, at + wanted.length)) {
      spans.push([at, at + wanted.length, kind]);
    }
  }
  if (!spans.length || low.length !== text.length) return [text];
  spans.sort((a, b) => a[0] - b[0] || b[1] - a[1]);
  const parts = [];
  let done = 0;
  for (const [from, to, kind] of spans) {
    if (from < done) continue;
    parts.push(text.slice(done, from), h('mark', { className: kind }, text.slice(from, to)));
    done = to;
  }
  return [...parts, text.slice(done)];
}

function said(text, tag, context, findings) {
  const body = h(tag, { className: 'said' }, ...marked(text, findings.flatMap((f) => quoted(f.detail)), context.hit));
  const lines = text.split('\n').length;
  if (body.querySelector('mark') || (lines <= FOLD_LINES && text.length <= FOLD_CHARACTERS)) return [body];
  body.classList.add('folded');
  const unfold = h('button', { type: 'button', className: 'unfold' }, lines > 1 ? `Show all ${lines} lines` : 'Show all');
  unfold.onclick = () => { body.classList.remove('folded'); unfold.remove(); };
  return [body, unfold];
}

function absent(words) {
  return h('p', { className: 'absent' }, words);
}

function why(findings) {
  return findings.map((f) => h('span', { className: 'why' }, f.reason === 'replay_mismatch' ? f.reason : `${f.reason}: ${f.detail}`));
}

function folded(title, text) {
  return h('details', { className: 'folded-away' }, h('summary', {}, title), h('pre', { className: 'more' }, text));
}

function argumentText(value) {
  return typeof value === 'string' ? value : JSON.stringify(value ?? {}, null, 2);
}

function callCard(call, findings, context) {
  const text = argumentText(call.arguments);
  return h('div', { className: `call${findings.length ? ' evidence' : ''}` },
    h('div', { className: 'who' }, h('b', {}, ...marked(call.name, [], context.hit)), call.id, ...why(findings)),
    ...(typeof call.arguments === 'string' ? [absent('arguments that are no JSON object')] : []),
    ...said(text, 'pre', context, findings));
}

// A finding stands at the call it names, else at its message.
function turn(message, index, context) {
  const here = context.findings.filter((f) => f.message === index);
  const calls = message.tool_calls || [];
  const ofCall = (call) => here.filter((f) => f.call === call.id);
  const own = here.filter((f) => !calls.some((call) => call.id === f.call));
  const who = [message.role === 'tool' ? 'result' : message.role];
  if (message.name) who.push(h('code', {}, message.name));
  if (message.tool_call_id) who.push(h('code', {}, message.tool_call_id));
  if (message.is_error) who.push(h('span', { className: 'why' }, 'error'));
  const body = [];
  if (message.content === null || message.content === undefined) {
    if (message.role === 'tool') body.push(absent('null'));
  } else if (message.content) {
    body.push(...said(message.content, 'div', context, own));
  } else if (!calls.length) {
    body.push(absent('empty text'));
  }
  for (const call of calls) {
    body.push(callCard(call, ofCall(call), context));
    if (!context.answered.has(call.id)) body.push(absent(`no result for ${call.id}`));
  }
  return h('section', { className: `turn ${message.role}${here.length ? ' evidence' : ''}`, id: '' },
    h('div', { className: 'who' }, ...who, ...why(own)), ...body, ...(index === context.last ? context.expected : []));
}

// The facts that a right answer states, shown in the answer.
function expected(expect) {
  if (!expect) return [];
  const text = (value) => (typeof value === 'string' ? value : JSON.stringify(value));
  const facts = Object.entries(expect).map(([name, value]) => h('div', {}, h('b', {}, name),
    h('span', {}, Array.isArray(value) ? value.map(text).join(' · ') : text(value))));
  return [h('div', { className: 'expected' }, h('div', { className: 'who' }, 'expected'), ...facts)];
}

// A replay quotes both results; they are shown one above the other.
const REPLAYED = /^(.*?) is recorded as ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"), and returns ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(.*)$/;

function evidenceText(finding) {
  const parts = finding.reason === 'replay_mismatch' && REPLAYED.exec(finding.detail);
  if (!parts) return [` ${finding.detail}`];
  const [, call, recorded, replayed, rest] = parts;
  const line = (name, text) => h('div', {}, h('b', {}, name), h('span', {}, unquoted(text)));
  return [` ${call}${rest}`, h('div', { className: 'replayed' }, line('recorded', recorded), line('replayed', replayed))];
}

function reasons(findings, turns) {
  const items = findings.map((finding) => {
    const item = h('li', {}, h('b', {}, finding.reason), ...evidenceText(finding));
    const target = turns[finding.message];
    if (target) {
      const jump = h('button', { type: 'button' }, 'show');
      jump.onclick = () => target.scrollIntoView({ block: 'center' });
      item.append(jump);
    }
    return item;
  });
  return h('ul', { className: 'reasons' }, ...items);
}

const SHOWN = new Set(['run_id', 'job_id', 'prompt', 'category', 'system_prompt', 'messages', 'outcome', 'findings',
  'tools', 'schema_version', 'failure', 'seconds', 'attempt', 'requires_tools', 'expect']);

function facts(trajectory) {
  const pin = trajectory.provenance?.workspace;
  const parts = [
    h('code', {}, trajectory.job_id), `run ${trajectory.run_id}`, trajectory.category ?? 'general',
    trajectory.requires_tools === false ? 'tools not required' : 'tools required',
    trajectory.attempt > 1 ? `attempt ${trajectory.attempt}` : '',
    trajectory.seconds ? `${trajectory.seconds.toFixed(1)} s` : '',
    trajectory.provenance?.teacher ?? '', trajectory.provenance?.worker ?? '',
    pin ? `${pin.origin}${pin.commit ? `@${pin.commit.slice(0, 10)}` : ''}` : '',
    trajectory.failure ? `${trajectory.failure.kind}: ${trajectory.failure.message}` : '',
  ].filter(Boolean);
  return h('p', { className: 'facts' }, ...parts.flatMap((part, place) => (place ? [h('i', {}, '·'), part] : [part])));
}

function conversation(trajectory, hit) {
  const messages = trajectory.messages || [];
  const answered = new Set(messages.filter((m) => m.role === 'tool').map((m) => m.tool_call_id));
  const answers = messages.at(-1)?.role === 'assistant' && !messages.at(-1).tool_calls?.length;
  const expectation = expected(trajectory.expect);
  const context = { findings: trajectory.findings, answered, hit, last: answers ? messages.length - 1 : -1, expected: expectation };
  const turns = messages.map((message, index) => turn(message, index, context));
  const others = Object.fromEntries(Object.entries(trajectory).filter(([name]) => !SHOWN.has(name)));
  return [
    ...(messages[0]?.content === trajectory.prompt ? [] : [h('h3', {}, ...marked(trajectory.prompt, [], hit))]),
    facts(trajectory),
    ...(trajectory.findings.length ? [reasons(trajectory.findings, turns)] : []),
    ...(trajectory.system_prompt ? [folded('system prompt', trajectory.system_prompt)] : []),
    ...(trajectory.tools.length ? [folded(`${trajectory.tools.length} tools sent`, trajectory.tools.join('\n'))] : []),
    ...(turns.length ? turns : [absent('no messages')]),
    ...(answers ? [] : expectation),
    ...(Object.keys(others).length ? [folded('other fields', JSON.stringify(others, null, 2))] : []),
  ];
}
