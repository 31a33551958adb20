// Time left, on the server's clock.
//
//   <span data-countdown-until="ISO" data-countdown-label="Active for {left}" data-countdown-done="Key expired">
//   or an <option> with the same attributes
//
// At zero the element sends the bubbling event "countdown:end", once for each instant. The class is-ending marks the
// last five minutes, is-last the last minute.
(() => {
  "use strict";

  const ENDING = 300000; // ms
  const LAST = 60000;

  // What the server's clock said (ms), and what this machine's two clocks said then.
  let base;

  function sync(serverMs, local = performance.now()) {
    if (!Number.isFinite(serverMs)) return;
    // An answer that was slow on its way shows an older instant; only a real difference moves the clock back.
    if (base && Math.abs(serverMs - now()) < 2000 && serverMs < now()) return;
    base = { serverMs, local, wall: Date.now() - (performance.now() - local) };
  }

  // performance.now() does not care whether somebody sets the clock, but stops while some machines sleep;
  // a wall clock that has gone ahead of it tells of that.
  function now() {
    const steady = performance.now() - base.local;
    const wall = Date.now() - base.wall;
    return base.serverMs + (wall - steady > 2000 ? wall : steady);
  }

  // The two largest units, rounded down; seconds in the last minute. Held against tests/vectors/countdown.json, as
  // time_left in app/core/durations.py is.
  function timeLeft(ms) {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    const day = Math.floor(seconds / 86400);
    const hr = Math.floor(seconds / 3600) % 24;
    const min = Math.floor(seconds / 60) % 60;
    if (day) return `${day} ${day === 1 ? "day" : "days"}${hr ? ` ${hr} hr` : ""}`;
    if (hr) return `${hr} hr${min ? ` ${min} min` : ""}`;
    return min ? `${min} min` : `${seconds} sec`;
  }

  const ended = new WeakMap();

  function show(element) {
    const { countdownUntil: until, countdownLabel: label = "{left}", countdownDone: done } = element.dataset;
    const left = Date.parse(until) - now();
    if (Number.isNaN(left)) return;
    const over = left <= 0;
    const text = over && done ? done : label.replace("{left}", timeLeft(left));
    if (element.textContent !== text) element.textContent = text;
    element.classList.toggle("is-ending", !over && left < ENDING);
    element.classList.toggle("is-last", !over && left < LAST);
    element.classList.toggle("is-over", over);
    if (over && ended.get(element) !== until) {
      ended.set(element, until);
      // Later, so that whoever refreshes the list does so after this round.
      setTimeout(() => element.dispatchEvent(new CustomEvent("countdown:end", { bubbles: true })), 0);
    }
  }

  function tick() {
    document.querySelectorAll("[data-countdown-until]").forEach(show);
    // Keys end on whole seconds: wake just after the server's next one.
    setTimeout(tick, 1010 - (now() % 1000));
  }

  const arrived = performance.getEntriesByType("navigation")[0]?.responseStart ?? 0;
  sync(Date.parse(document.body.dataset.serverNow) || Date.now(), arrived);

  document.addEventListener("htmx:after:request", (event) => {
    sync(Date.parse(event.detail.ctx?.response?.headers?.get("X-Server-Now") ?? ""));
  });

  window.serverNow = now;
  window.timeLeft = timeLeft;
  window.page.watch("[data-countdown-until]", show);
  tick();
})();
