// Copying: <button data-copy-from="#selector"> or <button data-copy-text="...">, its words in [data-copy-label].
//
// With data-copy-now="sentence" it is copied at once, and the sentence announced with it.
// {local:2026-11-24T18:40:00Z} in the text becomes that instant in the viewer's zone. Where the browser withholds the
// clipboard interface (plain http by host name) the older command does it; failing that, the text is left selected.
(() => {
  "use strict";

  const resets = new WeakMap();

  function fill(text) {
    const zone = window.times.zone;
    return text.replace(/\{local:([^}]+)\}/g, (_, iso) => window.times.local(iso, "long") + (zone ? ` (${zone})` : ""));
  }

  function copySelected(text, beside) {
    const area = document.createElement("textarea");
    area.className = "copy-source";
    area.setAttribute("aria-hidden", "true");
    area.readOnly = true;
    area.value = text;
    const focus = document.activeElement;
    // Beside the button, because an open dialog makes the rest of the page unreachable.
    beside.after(area);
    area.select();
    let done = false;
    try {
      done = document.execCommand("copy");
    } catch {
      done = false;
    }
    area.remove();
    focus?.focus({ preventScroll: true });
    return done;
  }

  async function copy(text, button) {
    if (window.isSecureContext && navigator.clipboard) {
      try {
        await navigator.clipboard.writeText(text);
        return true;
      } catch {
        // Refused by permission or policy: the older way may still be open.
      }
    }
    return copySelected(text, button);
  }

  function selectFor(source) {
    if (!source) return;
    if (source.select) {
      source.focus();
      source.select();
    } else {
      getSelection().selectAllChildren(source);
    }
  }

  function say(button, words, copied, before = "") {
    const label = button.querySelector("[data-copy-label]") ?? button;
    const said = resets.get(button);
    if (said) clearTimeout(said.timer);
    const usual = said?.usual ?? label.textContent;
    label.dataset.usual = usual;
    button.classList.toggle("is-copied", copied);
    label.textContent = words;
    window.announce(`${before} ${words}`.trim());
    const timer = setTimeout(() => {
      label.textContent = usual;
      button.classList.remove("is-copied");
      resets.delete(button);
    }, copied ? 2000 : 6000);
    resets.set(button, { usual, timer });
  }

  // Whoever copies a key is in the audit log: data-copy-report names the address that is told.
  function report(element) {
    const { copyReport } = element.dataset;
    const token = document.querySelector('input[name="csrf_token"]')?.value;
    if (!copyReport || !token) return;
    const headers = { "X-CSRFToken": token };
    fetch(copyReport, { method: "POST", headers, keepalive: true }).catch(() => {});
  }

  async function copyFor(button, before) {
    const source = button.dataset.copyFrom ? document.querySelector(button.dataset.copyFrom) : null;
    const text = fill(button.dataset.copyText ?? source?.value ?? source?.textContent.trim() ?? "");
    if (await copy(text, button)) {
      report(button);
      say(button, "Copied", true, before);
    } else {
      say(button, "Press Ctrl+C to copy", false, before);
      selectFor(source);
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy-from], [data-copy-text]");
    if (button) copyFor(button);
  });

  // "Generate and copy": the press that asked for the key still counts for the browser when it comes. After the focus
  // has moved to the button, for text that could not be copied is selected, and needs it.
  const begun = new WeakSet();
  window.page.watch("[data-copy-now]", (button) => {
    if (begun.has(button)) return;
    begun.add(button);
    setTimeout(() => copyFor(button, button.dataset.copyNow), 0);
  });

  // Copied by hand, with Ctrl+C or a menu.
  document.addEventListener("copy", (event) => {
    if (event.target.matches?.("textarea[data-copy-report]")) report(event.target);
  });

  // A read-only key is for copying: the first click takes the whole of it.
  document.addEventListener("focusin", (event) => {
    if (event.target.matches("[data-select-all]")) event.target.select();
  });
})();
