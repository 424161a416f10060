// Keeps a page up to date and sends its actions.
//   [data-live]            the page has an event stream at its own address; it is open while the page is visible
//   #live-status           says whether the page is up to date
//   form[data-action]      is sent in the background; the answer is shown as a message
//   data-confirm="text"    on such a form: asks before it sends
//   data-chart="ID"        see charts.js
(() => {
  "use strict";
  const status = document.getElementById("live-status");
  let source = null;

  function say(text, bad) {
    if (!status) return;
    status.textContent = text;
    status.classList.toggle("run-error", Boolean(bad));
  }

  // What a person is using stays: a fragment with the focus in a field, a ticked box or an open dialog.
  function inUse(element) {
    const active = document.activeElement;
    const typing = active && element.contains(active) && active.matches("input, select, textarea");
    return typing || element.querySelector("input[type=checkbox]:checked, dialog[open]") !== null;
  }

  function replace(id, html) {
    const element = document.getElementById(id);
    if (!element || inUse(element)) return;
    const open = [...element.querySelectorAll("details[open][id]")].map((item) => item.id);
    const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
    element.innerHTML = html;
    for (const item of open) document.getElementById(item)?.setAttribute("open", "");
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  function follow() {
    if (source || !document.querySelector("[data-live]")) return;
    source = new EventSource(location.href);
    source.onopen = () => say("live");
    source.onerror = () => say("not connected; trying again", true);
    source.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.error) return say(message.error, true);
      say("live");
      for (const [id, html] of Object.entries(message.html ?? {})) replace(id, html);
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

  async function send(form, button) {
    const body = new URLSearchParams(new FormData(form, button));
    try {
      const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
      const said = await answer.json().catch(() => ({ error: `HTTP ${answer.status}` }));
      toast(said.message ?? said.error, !answer.ok);
      if (answer.ok) form.dispatchEvent(new CustomEvent("sent", { bubbles: true, detail: said }));
    } catch (error) {
      toast(`not sent: ${error.message}`, true);
    }
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-action]")) return;
    event.preventDefault();
    if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) return;
    send(form, event.submitter);
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : follow()));
  window.addEventListener("pagehide", rest);
  if (!document.hidden) follow();
})();
