// Instants in the viewer's zone, or in UTC if that is chosen, in the shape in which the server wrote them in UTC
// (macros/time.html).
//
//   <time datetime="2026-11-24T18:40:00Z" data-local="long|full|short|time|second">
//   <option data-ended="2026-11-24T18:40:00Z" data-prefix="K7QF-3MXP · Key expired · " data-suffix="...">
//   <span data-zone-name> gets the zone's name, <span data-times-name> a few words for it
//   <input type="hidden" data-zone-field> sends the zone in which a datetime-local field was typed
//   <input type="datetime-local" data-utc="2026-11-24T18:40:00Z"> was filled in by the server
//   <option value="until"> says which end its form's "ends" holds
//   <button data-times-choice="local|utc"> chooses; the cookie "times" keeps it
//
// An instant that the zone's clocks show twice, because they are set back, carries its offset: "02:30 (UTC+2)".
(() => {
  "use strict";

  const MINUTE = 60000;
  const HALF_A_DAY = 720 * MINUTE;

  const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "";

  const two = (number) => String(number).padStart(2, "0");
  const clock = (at) => `${two(at.getHours())}:${two(at.getMinutes())}`;
  const date = (at) => `${days[at.getDay()]} ${at.getDate()} ${months[at.getMonth()]} ${at.getFullYear()}`;

  const shapes = {
    long: (at) => `${date(at)}, ${clock(at)}`,
    full: (at) => `${date(at)}, ${clock(at)}:${two(at.getSeconds())}`,
    short: (at) => `${at.getDate()} ${months[at.getMonth()]} ${clock(at)}`,
    time: clock,
    second: (at) => `${clock(at)}:${two(at.getSeconds())}`,
  };

  // Whether another instant reads the same: clocks that are set back by so many minutes go through them again.
  function isAmbiguous(at) {
    const offset = (ms) => new Date(ms).getTimezoneOffset();
    const [before, after] = [offset(at.getTime() - HALF_A_DAY), offset(at.getTime() + HALF_A_DAY)];
    const back = (after - before) * MINUTE;
    if (back <= 0) return false;
    const first = at.getTimezoneOffset() === before;
    return first ? offset(at.getTime() + back) === after : offset(at.getTime() - back) === before;
  }

  function offsetName(at) {
    const ahead = -at.getTimezoneOffset();
    const minutes = Math.abs(ahead) % 60;
    return `UTC${ahead < 0 ? "-" : "+"}${Math.floor(Math.abs(ahead) / 60)}${minutes ? `:${two(minutes)}` : ""}`;
  }

  const shape = (at, style) => (shapes[style] ?? shapes.long)(at);

  function local(iso, style) {
    const at = new Date(iso);
    if (Number.isNaN(at.getTime())) return null;
    return shape(at, style) + (isAmbiguous(at) ? ` (${offsetName(at)})` : "");
  }

  // The fields of a Date that is as far from `at` as its zone is from UTC.
  function utc(iso, style) {
    const at = new Date(iso);
    if (Number.isNaN(at.getTime())) return null;
    return shape(new Date(at.getTime() + at.getTimezoneOffset() * MINUTE), style);
  }

  function write(element, text) {
    if (text !== null && element.textContent !== text) element.textContent = text;
  }

  // As a datetime-local field has it.
  function typed(at) {
    return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${clock(at)}`;
  }

  // What was typed stays the same instant when another zone is chosen.
  function retype(toUTC) {
    document.querySelectorAll("input[type=datetime-local]").forEach((field) => {
      const at = new Date(toUTC ? field.value : `${field.value}Z`);
      if (Number.isNaN(at.getTime()) || !field.form?.querySelector("[data-zone-field]")) return;
      field.value = toUTC ? at.toISOString().slice(0, 16) : typed(at);
    });
  }

  const root = document.documentElement;
  const inUTC = () => root.dataset.times === "utc";

  const writers = {
    "time[data-local]": (element) => {
      const { dateTime, dataset } = element;
      write(element, inUTC() ? `${utc(dateTime, dataset.local)} UTC` : local(dateTime, dataset.local));
    },
    "option[data-ended]": (option) => {
      const text = (inUTC() ? utc : local)(option.dataset.ended, "short");
      write(option, text && option.dataset.prefix + text + (option.dataset.suffix ?? ""));
    },
    "[data-zone-name]": (element) => write(element, inUTC() ? "" : zone && ` (${zone})`),
    "[data-times-name]": (element) => write(element, inUTC() ? "UTC" : `this browser's time zone${zone && ` (${zone})`}`),
    "[data-zone-field]": (field) => { field.value = inUTC() ? "UTC" : zone; },
    "[data-utc]": (field) => {
      if (!inUTC()) field.value = typed(new Date(field.dataset.utc));
      field.removeAttribute("data-utc");
    },
    'option[value="until"]': (option) => {
      const end = option.form?.elements.ends?.value;
      if (end) write(option, `Until ${local(end, "long") ?? end}`);
    },
    "[data-times-choice]": (button) => {
      button.setAttribute("aria-pressed", String(button.dataset.timesChoice === root.dataset.times));
    },
  };

  window.times = { local, utc, zone };

  for (const [selector, writer] of Object.entries(writers)) window.page.watch(selector, writer);

  document.addEventListener("click", (event) => {
    const choice = event.target.closest("[data-times-choice]")?.dataset.timesChoice;
    if (!choice) return;
    if (choice !== root.dataset.times) retype(choice === "utc");
    root.dataset.times = choice;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    const life = choice === "utc" ? 365 * 24 * 3600 : 0;
    document.cookie = `times=${choice}; Path=${document.documentElement.dataset.cookiePath}; Max-Age=${life}; SameSite=Lax${secure}`;
    for (const [selector, writer] of Object.entries(writers)) document.querySelectorAll(selector).forEach(writer);
    window.announce(`Times are in ${choice === "utc" ? "UTC" : "this browser's time zone"}.`);
  });

  // What is printed says when and from where: as it is then, not as it was when the page was loaded.
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("[data-page-address]").forEach((element) => write(element, location.href));
    document.querySelectorAll(".print-line time").forEach((element) => {
      element.dateTime = `${new Date(window.serverNow()).toISOString().slice(0, 19)}Z`;
      writers["time[data-local]"](element);
    });
  });
})();
