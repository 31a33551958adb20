// What the other modules share.
//
//   announce(text)            says a sentence to screen readers, through the live region #live
//   page.watch(selector, fn)  calls fn for each matching element, now and whenever one comes or changes,
//                             before the browser paints it; fn must leave alone what is already right
//
// An element that comes with data-announce="sentence" has it announced, once; one that comes with
// data-focus gets the focus.
(() => {
  "use strict";

  let clearing;

  window.announce = (text) => {
    const live = document.getElementById("live");
    if (!live) return;
    live.textContent = "";
    clearTimeout(clearing);
    // A pause, so that the same sentence said twice is heard twice.
    clearing = setTimeout(() => {
      live.textContent = text;
      clearing = setTimeout(() => { live.textContent = ""; }, 10000);
    }, 60);
  };

  const watched = [];

  function visit(root, { selector, work }) {
    if (root.matches(selector)) work(root);
    root.querySelectorAll(selector).forEach(work);
  }

  function watch(selector, work) {
    watched.push({ selector, work });
    visit(document.documentElement, { selector, work });
  }

  new MutationObserver((records) => {
    const roots = new Set();
    for (const record of records) {
      if (record.type === "childList") {
        for (const node of record.addedNodes) {
          if (node.nodeType === Node.ELEMENT_NODE) roots.add(node);
          else if (record.target.nodeType === Node.ELEMENT_NODE) roots.add(record.target);
        }
      } else {
        const element = record.target.nodeType === Node.ELEMENT_NODE ? record.target : record.target.parentElement;
        if (element) roots.add(element);
      }
    }
    for (const root of roots) {
      if (root.isConnected) watched.forEach((watcher) => visit(root, watcher));
    }
  }).observe(document.documentElement, {
    subtree: true,
    childList: true,
    characterData: true,
    attributes: true,
    attributeFilter: ["datetime", "data-local", "data-ended", "data-countdown-until", "data-announce", "data-focus"],
  });

  window.page = { watch };

  const said = new WeakMap();
  watch("[data-announce]", (element) => {
    const text = element.dataset.announce;
    if (text && said.get(element) !== text) {
      said.set(element, text);
      window.announce(text);
    }
  });

  const focused = new WeakSet();
  watch("[data-focus]", (element) => {
    if (focused.has(element)) return;
    focused.add(element);
    // After the swap is over, or htmx would give the focus back to where it was; and after an open dialog has
    // closed, because nothing behind it can have the focus.
    setTimeout(() => {
      const dialog = element.closest("dialog") ? null : document.querySelector("dialog:modal");
      if (dialog) dialog.addEventListener("close", () => element.focus(), { once: true });
      else element.focus();
    }, 0);
  });
})();
