// A project's form: <button data-fill="ID"> puts its word into that field.
(() => {
  "use strict";

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-fill]");
    if (!button) return;
    const field = document.getElementById(button.dataset.fill);
    field.value = button.textContent;
    field.focus();
  });
})();
