// Filters and search, which decide what the lists show.
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
    h('span', { className: 'n' }, sampled(facet, value, count)));
}

// With the number in the run, where the page holds a sample and nothing else is filtered.
function sampled(facet, value, count) {
  const of = facet === 'reasons' && !state.query && state.head?.reasons[value];
  return of > count && state.head.sample ? `${count} of ${of}` : String(count);
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

