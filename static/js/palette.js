// The command palette (#palette) and the shortcuts (#shortcuts).
//
// Ctrl+K, or a button [data-palette], opens it. What is typed is looked up by htmx; the arrows walk the options, Enter
// goes. "/" focuses the page's search, "?" lists the shortcuts, and "g" followed by another key goes to a page
// (data-keys="g h"). Single keys do nothing while one types, with a modifier, over a dialog, or if they are switched off.
(() => {
  "use strict";

  const palette = document.getElementById("palette");
  const shortcuts = document.getElementById("shortcuts");
  if (!palette) return;

  const box = palette.querySelector("[role=combobox]");
  const list = palette.querySelector("[role=listbox]");
  const said = document.getElementById("palette-said");
  let goes = false; // Enter was pressed before the answer was there

  const options = () => [...list.querySelectorAll("[role=option]")];
  const chosen = () => list.querySelector("[aria-selected=true]");

  function choose(option) {
    chosen()?.setAttribute("aria-selected", "false");
    box.removeAttribute("aria-activedescendant");
    if (!option) return;
    option.setAttribute("aria-selected", "true");
    box.setAttribute("aria-activedescendant", option.id);
    option.scrollIntoView({ block: "nearest" });
  }

  function walk(step) {
    const all = options();
    const at = all.indexOf(chosen());
    choose(all.at((at + step) % all.length));
  }

  function go(option) {
    palette.close();
    option.click();
  }

  function open() {
    if (document.querySelector("dialog:modal")) return;
    box.value = "";
    list.replaceChildren();
    goes = false;
    palette.showModal();
    window.htmx.trigger(box, "ask");
  }

  document.addEventListener("htmx:after:swap", () => {
    const found = list.firstElementChild;
    if (!palette.open || !found || found.dataset.typed !== box.value || chosen()) return;
    if (said.textContent !== found.dataset.found) said.textContent = found.dataset.found;
    choose(options()[0]);
    if (goes && chosen()) go(chosen());
    goes = false;
  });

  box.addEventListener("input", () => { goes = false; });

  box.addEventListener("keydown", (event) => {
    // Of a composition (Chinese, Japanese) the keys are its own.
    if (event.isComposing) return;
    if (event.key === "ArrowDown") walk(1);
    else if (event.key === "ArrowUp") walk(-1);
    else if (event.key === "Enter") {
      const isThere = list.firstElementChild?.dataset.typed === box.value;
      if (isThere && chosen()) go(chosen());
      goes = !isThere;
    } else return;
    event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-palette]")) open();
  });

  // Shortcuts

  const FIELDS = "textarea, select, [contenteditable], input:not([type=checkbox], [type=radio], [type=button], [type=submit])";
  const SECOND_KEY = 1500; // ms
  const OFF = "rolling-window-single-keys-off";
  const single = document.getElementById("single-keys");
  let begunAt = -Infinity;

  // Where the browser keeps nothing they are on.
  function kept(off) {
    try {
      if (off === true) localStorage.setItem(OFF, "1");
      else if (off === false) localStorage.removeItem(OFF);
      return localStorage.getItem(OFF) !== null;
    } catch {
      return false;
    }
  }

  single.checked = !kept();
  single.addEventListener("change", () => kept(!single.checked));

  function search() {
    const field = document.querySelector("main [type=search]");
    if (!field) return open();
    field.focus();
    field.select();
  }

  function press(key) {
    const second = performance.now() - begunAt < SECOND_KEY;
    begunAt = -Infinity;
    const link = second && shortcuts.querySelector(`[data-keys="g ${CSS.escape(key)}"]`);
    if (link) link.click();
    else if (key === "/") search();
    else if (key === "?") shortcuts.showModal();
    else if (key === "g") begunAt = performance.now();
    else return false;
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.repeat) return;
    const { key, ctrlKey, metaKey, altKey, shiftKey } = event;
    if ((ctrlKey || metaKey) && !altKey && !shiftKey && key.toLowerCase() === "k") {
      event.preventDefault();
      open();
      return;
    }
    const isTyping = event.target.closest?.(FIELDS) || document.querySelector("dialog:modal");
    if (ctrlKey || metaKey || altKey || isTyping || !single.checked) return;
    if (press(key)) event.preventDefault();
  });
})();
