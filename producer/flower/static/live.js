// Keeps a page up to date, opens its dialogs and sends its actions.
//   [data-live]            the page has an event stream at its own address; it is open while the page is visible
//   #live-status           says whether the page is up to date; #live-dot shows it
//   data-key="ID"          names an element among its siblings, so that an update moves no other into its place
//   a[data-dialog]         opens what is at its address in the page's <dialog id="dialog">; [data-close] closes it
//   form[data-action]      is sent in the background; the answer is shown as a message
//   data-confirm="text"    on such a form or its button: asks before it is sent
//   data-chart="ID"        see charts.js
// Without scripts the same links and forms lead to pages.
(() => {
  "use strict";
  const status = document.getElementById("live-status");
  const dot = document.getElementById("live-dot");
  const dialog = document.getElementById("dialog");
  const html = document.createElement("template");
  const latest = new Map(); // fragments that arrived while a person used theirs
  let source = null;

  function say(text, bad) {
    if (!status) return;
    if (status.textContent !== text) status.textContent = text;
    status.classList.toggle("aj-error", Boolean(bad));
    dot?.classList.toggle("status-dot-live", !bad);
    dot?.classList.toggle("status-dot-error", Boolean(bad));
  }

  // What a person is using stays: a fragment with the focus in a field, a ticked box or an open dialog.
  function inUse(element) {
    const active = document.activeElement;
    const typing = active && element.contains(active) && active.matches("input, select, textarea");
    return typing || element.querySelector("input[type=checkbox]:checked, dialog[open]") !== null;
  }

  const keyOf = (node) => (node.nodeType === 1 ? node.dataset?.key || node.id || "" : "");
  const same = (one, other) =>
    one.nodeType === other.nodeType && one.nodeName === other.nodeName && keyOf(one) === keyOf(other);

  // Changes only what differs, so that focus, selection, scrolling and animations survive an update.
  function patch(now, next) {
    if (now.nodeType !== 1) {
      if (now.nodeValue !== next.nodeValue) now.nodeValue = next.nodeValue;
      return;
    }
    for (const { name, value } of [...next.attributes]) if (now.getAttribute(name) !== value) now.setAttribute(name, value);
    for (const { name } of [...now.attributes]) {
      if (!next.hasAttribute(name) && !(name === "open" && now.matches("details"))) now.removeAttribute(name);
    }
    if (!now.matches("[data-chart]")) patchChildren(now, next);
  }

  function patchChildren(now, next) {
    let at = now.firstChild;
    for (const wanted of [...next.childNodes]) {
      let found = at;
      if (!found || !same(found, wanted)) {
        const key = keyOf(wanted);
        for (found = key ? at : null; found && !same(found, wanted); ) found = found.nextSibling;
        if (found) now.insertBefore(found, at);
        else found = now.insertBefore(document.importNode(wanted, true), at);
      }
      patch(found, wanted);
      at = found.nextSibling;
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  function replace(id, text) {
    const element = document.getElementById(id);
    if (!element) return;
    if (inUse(element)) return void latest.set(id, text);
    latest.delete(id);
    html.innerHTML = text;
    patchChildren(element, html.content);
  }

  function catchUp() {
    for (const [id, text] of [...latest]) replace(id, text);
  }

  function follow() {
    if (source || !document.querySelector("[data-live]")) return;
    source = new EventSource(location.href);
    source.onopen = () => say("live");
    source.onerror = () => {
      say("not connected; trying again", true);
      if (source?.readyState !== EventSource.CLOSED) return; // the browser tries by itself
      rest();
      setTimeout(() => !document.hidden && follow(), 10000);
    };
    source.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.error) return say(message.error, true);
      say("live");
      catchUp();
      for (const [id, text] of Object.entries(message.html ?? {})) replace(id, text);
      for (const [id, data] of Object.entries(message.charts ?? {})) window.applejackChart?.(id, data);
    };
  }

  function rest() {
    source?.close();
    source = null;
  }

  function toast(text, bad) {
    const box = document.createElement("div");
    box.className = `toast show align-items-center ${bad ? "text-bg-danger" : "text-bg-success"} border-0`;
    box.setAttribute("role", bad ? "alert" : "status");
    box.innerHTML = '<div class="d-flex"><div class="toast-body"></div><button type="button" ' +
      'class="btn-close btn-close-white me-2 m-auto" data-bs-dismiss="toast" aria-label="Close"></button></div>';
    box.querySelector(".toast-body").textContent = text;
    document.getElementById("toast-container")?.append(box);
    setTimeout(() => box.remove(), bad ? 20000 : 8000);
  }

  async function ask(address) {
    dialog.innerHTML = '<h2 id="dialog-title">One moment</h2><p>The server is counting.</p>';
    dialog.showModal();
    try {
      const answer = await fetch(address, { headers: { "X-Requested-With": "dialog" } });
      const text = await answer.text();
      if (!answer.ok) throw new Error(reason(text) || `HTTP ${answer.status}`);
      if (!dialog.open) return;
      dialog.innerHTML = text;
      (dialog.querySelector("a[data-close]") ?? dialog.querySelector("button"))?.focus();
    } catch (error) {
      dialog.close();
      toast(error.message, true);
    }
  }

  // The sentence of Flower's error page.
  function reason(page) {
    const found = new DOMParser().parseFromString(page, "text/html");
    return found.querySelector("main p")?.textContent.trim();
  }

  async function send(form, button) {
    const body = new URLSearchParams(new FormData(form, button));
    const address = button?.hasAttribute("formaction") ? button.formAction : form.action;
    const focused = button && document.activeElement === button; // disabling takes the focus away
    if (button) button.disabled = true;
    try {
      const answer = await fetch(address, { method: "POST", body, headers: { Accept: "application/json" } });
      const said = await answer.json().catch(() => ({ error: `HTTP ${answer.status}` }));
      toast(said.message ?? said.error, !answer.ok);
      if (!answer.ok) return;
      form.dispatchEvent(new CustomEvent("sent", { bubbles: true, detail: said }));
      if (dialog?.contains(form)) dialog.close();
    } catch (error) {
      toast(`not sent: ${error.message}`, true);
    } finally {
      if (button) button.disabled = false;
      if (focused && document.activeElement === document.body) button.focus({ preventScroll: true });
    }
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-action]")) return;
    event.preventDefault();
    const question = event.submitter?.dataset.confirm ?? form.dataset.confirm;
    if (question && !window.confirm(question)) return;
    send(form, event.submitter);
  });
  document.addEventListener("click", (event) => {
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
    const opener = event.target.closest?.("a[data-dialog]");
    if (plain && opener && dialog) {
      event.preventDefault();
      ask(opener.href);
    }
    if (dialog?.open && (event.target === dialog || event.target.closest("[data-close]"))) {
      event.preventDefault();
      dialog.close();
    }
  });
  document.addEventListener("keydown", (event) => {
    // a link that looks like a button obeys the space bar as one
    if (event.key === " " && event.target.matches?.('a[role="button"]')) {
      event.preventDefault();
      event.target.click();
    }
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : follow()));
  window.addEventListener("pagehide", rest);
  window.addEventListener("pageshow", () => !document.hidden && follow());
  if (!document.hidden) follow();
})();
