// The dialog that asks first (macros/dialogs.html): #dialog shows whatever htmx puts in it; [data-dialog-close] closes.
// The browser keeps the focus inside and gives it back.
(() => {
  "use strict";

  // The focus begins on the way out ([autofocus]), for what is asked about can often not be undone; on the title where
  // the text is so long that its beginning would be out of sight.
  let asked = null;

  document.addEventListener("htmx:after:swap", () => {
    const dialog = document.getElementById("dialog");
    if (!dialog) return;
    const question = dialog.firstElementChild;
    if (question && !dialog.open) dialog.showModal();
    if (!question && dialog.open) dialog.close();
    if (question && question !== asked) {
      const long = dialog.scrollHeight > dialog.clientHeight;
      dialog.querySelector(long ? "#dialog-title" : "[autofocus]")?.focus();
    }
    asked = question;
  });

  // What the page as a whole has to say must be seen: not behind a dialog, and not above the fold.
  const told = new WeakMap();
  window.page.watch("#notices > .alert", (notice) => {
    if (told.get(notice) === notice.textContent) return;
    told.set(notice, notice.textContent);
    document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
    notice.scrollIntoView({ block: "nearest" });
  });

  document.addEventListener("click", (event) => {
    const onBackdrop = event.target.matches("dialog[open]");
    if (onBackdrop || event.target.closest("[data-dialog-close]")) event.target.closest("dialog")?.close();
  });

  // Closed by whatever means, what was fetched into it is out of date.
  document.addEventListener("close", (event) => {
    if (event.target.id === "dialog") event.target.replaceChildren();
  }, true);
})();
