// The License tab.
//
// <time data-from-now="10800"> is an instant that many seconds from now: it moves on while the page stands open.
(() => {
  "use strict";

  setInterval(() => {
    document.querySelectorAll("time[data-from-now]").forEach((element) => {
      const at = new Date(window.serverNow() + Number(element.dataset.fromNow) * 1000);
      const minute = at.toISOString().slice(0, 16);
      if (element.dateTime.slice(0, 16) === minute) return;
      element.dateTime = `${minute}:00Z`;
      element.title = `${window.times.utc(element.dateTime, "long")} UTC`;
    });
  }, 1000);

  // When a key ends, what had the focus (Copy, perhaps) is gone: the list of keys takes it.
  let held = false;
  document.addEventListener("htmx:before:swap", () => {
    held = Boolean(document.activeElement?.closest("#keys"));
  });
  document.addEventListener("htmx:after:swap", () => {
    if (held && document.activeElement === document.body) {
      document.getElementById("license-keys")?.focus({ preventScroll: true });
    }
  });

  // Brought back by the browser as it was left: its form has been sent already, its keys may have ended.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
})();
