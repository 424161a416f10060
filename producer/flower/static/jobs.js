// The pages of jobs, beyond live.js. Without scripts everything works by its buttons.
//   form[data-filter]      is sent when one of its lists changes
//   [data-tick-all]        ticks every job of the page
//   button[data-ticked]    says how many jobs are ticked
//   a[rel=prev], a[rel=next]   also follow the keys k and j
(() => {
  "use strict";

  function show() {
    const list = document.getElementById("job-list");
    if (!list) return;
    const boxes = [...list.querySelectorAll("input[name=job]")];
    const ticked = boxes.filter((box) => box.checked).length;
    const button = list.querySelector("[data-ticked]");
    const title = ticked ? `Resubmit ${ticked} ticked ${ticked === 1 ? "job" : "jobs"}…` : "Resubmit ticked jobs…";
    if (button.textContent !== title) button.textContent = title; // a change of the list calls this function
    if (button.disabled !== !ticked) button.disabled = !ticked;
    const all = list.querySelector("[data-tick-all]");
    all.indeterminate = ticked > 0 && ticked < boxes.length;
    all.checked = boxes.length > 0 && ticked === boxes.length;
  }

  document.addEventListener("change", (event) => {
    const { target } = event;
    if (target.matches("form[data-filter] select")) return target.form.requestSubmit();
    if (target.matches("[data-tick-all]")) {
      for (const box of target.form.querySelectorAll("input[name=job]")) box.checked = target.checked;
    }
    if (target.closest("#job-list")) show();
  });

  // Once resubmitted, the button must not be pressed again.
  document.addEventListener("sent", (event) => {
    if (event.target.id !== "job-resubmit") return;
    const done = document.createElement("p");
    const link = document.createElement("a");
    link.href = event.target.elements.back.value;
    link.textContent = "Show the queued jobs";
    done.setAttribute("role", "status");
    done.append(`${event.detail.message}. `, link);
    event.target.replaceWith(done);
    link.focus();
  });

  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    const rel = { j: "next", k: "prev" }[event.key];
    if (rel) document.querySelector(`a[rel=${rel}]`)?.click();
  });

  const list = document.getElementById("jobs");
  const changes = { childList: true, subtree: true, attributeFilter: ["disabled"] };
  if (list) new MutationObserver(show).observe(list, changes);
  document.documentElement.classList.add("job-scripts");
  show();
})();
