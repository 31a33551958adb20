// <button data-discloses="id" aria-controls="id"> shows and hides the block with that id (its class is-shown); with
// data-focus-first the first field in it gets the focus.
(() => {
  "use strict";

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-discloses]");
    if (!button) return;
    const block = document.getElementById(button.dataset.discloses);
    const shown = block.classList.toggle("is-shown");
    button.setAttribute("aria-expanded", String(shown));
    if (shown && "focusFirst" in button.dataset) block.querySelector("input:not([type=hidden]), select, textarea")?.focus();
  });
})();
