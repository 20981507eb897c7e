"use strict";
// Keeps the live page as it is now: reads the server's events and sends buttons without loading the page. Without it
// everything works as well; a button then loads the page.
(() => {
  const LINES = 80;
  const [people, log, lost, nothing] = ["people", "log", "lost", "nothing"].map((id) => document.getElementById(id));
  const read = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  };
  // Changes only what differs, so that whoever has the focus keeps it and nothing moves that stays.
  const become = (old, next) => {
    if (old.isEqualNode(next)) return;
    if (old.nodeType !== 1 || old.nodeName !== next.nodeName || old.id !== next.id) {
      old.replaceWith(next);
      return;
    }
    for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    children(old, next);
  };
  const children = (old, next) => {
    const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
    let at = old.firstChild;
    for (const child of [...next.childNodes]) {
      const same = child.id ? known.get(child.id) : at;
      if (same && same !== at) old.insertBefore(same, at);
      if (!same || (!child.id && same.id)) {
        old.insertBefore(child, at);
        continue;
      }
      at = same.nextSibling;
      become(same, child);
    }
    while (at) {
      const after = at.nextSibling;
      at.remove();
      at = after;
    }
  };
  const source = new EventSource(`/events?after=${encodeURIComponent(log.dataset.after)}`);
  source.addEventListener("open", () => { lost.textContent = ""; });
  source.addEventListener("error", () => { lost.textContent = lost.dataset.text; });
  source.addEventListener("anew", () => location.reload());
  source.addEventListener("picture", (event) => children(people, read(event.data)));
  source.addEventListener("happening", (event) => {
    nothing.hidden = true;
    log.prepend(read(event.data));
    log.firstElementChild.classList.add("new");
    while (log.children.length > LINES) log.lastElementChild.remove();
  });
  document.addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    const button = form.querySelector("button");
    if (button.getAttribute("aria-disabled")) return;
    button.setAttribute("aria-disabled", "true");
    try {
      const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      // What went wrong stands on the page that it was answered with.
      if (!answer.ok) form.submit();
    } catch {
      lost.textContent = lost.dataset.text;
    } finally {
      button.removeAttribute("aria-disabled");
    }
  });
})();
