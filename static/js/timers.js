// Requests that a timer makes (hx-trigger="every ...") stop while the page is hidden, and begin again when it is seen.
//
// An element with data-in-background goes on: an OP Agent that is not heard from is taken for gone.
(() => {
  "use strict";

  const TIMERS = '[hx-trigger*="every "]:not([data-in-background])';

  document.addEventListener("htmx:before:request", (event) => {
    if (document.visibilityState === "hidden" && event.detail.ctx.sourceElement.matches(TIMERS)) event.preventDefault();
  });

  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") return;
    document.querySelectorAll(TIMERS).forEach((element) => window.htmx.trigger(element, "check"));
  });
})();
