// A date without its year, a number with letters in it: a browser sends such a field as if it were blank, so it is said
// beside the field, in the server's manner, and nothing is sent. (A form without novalidate has the browser say it.)
(() => {
  "use strict";

  const says = (field) => (field.type === "number"
    ? "This is no number. Write one, or clear the field."
    : "This is only half filled in. Complete it, or clear the field.");

  function mark(field) {
    const id = `${field.id}-error`;
    const error = document.getElementById(id) ?? document.createElement("p");
    if (!error.isConnected) {
      Object.assign(error, { id, className: "invalid-feedback mb-0" });
      field.after(error);
      field.setAttribute("aria-describedby", [id, field.getAttribute("aria-describedby")].filter(Boolean).join(" "));
    }
    error.textContent = says(field);
    field.classList.add("is-invalid");
    field.setAttribute("aria-invalid", "true");
  }

  document.addEventListener("submit", (event) => {
    const wrong = [...event.target.elements].filter((field) => field.validity?.badInput);
    if (!wrong.length) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    wrong.forEach(mark);
    wrong[0].focus();
  }, true);
})();
