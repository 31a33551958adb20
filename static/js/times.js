// Instants in the viewer's zone, in the shape in which the server wrote them in UTC (macros/time.html).
//
//   <time datetime="2026-11-24T18:40:00Z" data-local="long|full|short|time|second">
//   <option data-ended="2026-11-24T18:40:00Z" data-prefix="K7QF-3MXP · Key expired · ">
//   <span data-zone-name> gets the zone's name
(() => {
  "use strict";

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

  function local(iso, style) {
    const at = new Date(iso);
    return Number.isNaN(at.getTime()) ? null : (shapes[style] ?? shapes.long)(at);
  }

  function write(element, text) {
    if (text !== null && element.textContent !== text) element.textContent = text;
  }

  window.times = { local, zone };

  window.page.watch("time[data-local]", (element) => {
    write(element, local(element.dateTime, element.dataset.local));
  });
  window.page.watch("option[data-ended]", (option) => {
    const text = local(option.dataset.ended, "short");
    write(option, text && option.dataset.prefix + text);
  });
  window.page.watch("[data-zone-name]", (element) => write(element, zone && ` (${zone})`));
})();
