// Requests that a timer makes (hx-trigger="every ...") stop while the page is hidden, and begin again when it is seen.
//
// An element with data-in-background goes on: an OP Agent that is not heard from is taken for gone.
//
// While a form that was sent takes the page elsewhere they count no more: to one that a sign-out has overtaken the
// answer is to sign in, and would lead there instead.
(() => {
  "use strict";

  const TIMERS = '[hx-trigger*="every "]:not([data-in-background])';

  const LEAVING_MS = 10000;
  let sentAt = -Infinity;

  // htmx prevents what a browser does with forms that htmx sends.
  document.addEventListener("submit", (event) => {
    if (!event.defaultPrevented) sentAt = performance.now();
  });

  function stop(event) {
    const isNoUse = document.visibilityState === "hidden" || performance.now() - sentAt < LEAVING_MS;
    if (isNoUse && event.detail.ctx.sourceElement.matches(TIMERS)) event.preventDefault();
  }

  document.addEventListener("htmx:before:request", stop);
  document.addEventListener("htmx:before:response", stop);

  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") return;
    document.querySelectorAll(TIMERS).forEach((element) => window.htmx.trigger(element, "check"));
  });
})();
