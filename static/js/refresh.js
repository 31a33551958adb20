// What refreshes itself ([data-while-visible], by hx-trigger="every ..., page:visible") asks for nothing while nobody can
// see the page, and at once when it is seen again.
(() => {
  "use strict";

  const SELF = "[data-while-visible]";

  document.addEventListener("htmx:before:request", (event) => {
    if (document.hidden && event.detail.ctx.sourceElement?.matches?.(SELF)) event.preventDefault();
  });

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) document.querySelectorAll(SELF).forEach((one) => window.htmx.trigger(one, "page:visible"));
  });
})();
