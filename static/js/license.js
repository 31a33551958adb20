// The License tab: what depends on the clock is worked out here, so that it is true without the portal too.
//
// #ttl-preview says until when a key of the chosen TTL will work: its data-seconds has the length of each choice, and
// the instant moves on while the page stands open. If it cannot be said, it is dimmed and its button held.
// A key that ends goes to "Expired", and with it whatever has data-while-active="KEY-ID".
(() => {
  "use strict";

  // What will happen

  function preview() {
    const select = document.getElementById("ttl");
    const box = document.getElementById("ttl-preview");
    if (!select || !box) return;
    const [option] = select.selectedOptions;
    const seconds = JSON.parse(box.dataset.seconds)[select.selectedIndex];
    const known = seconds > 0;
    box.classList.toggle("is-unknown", !known);
    box.closest("form").querySelector("[type=submit]").disabled = !known;
    if (!known) return;
    const time = box.querySelector("time");
    const words = box.querySelector("[data-ttl-words]");
    const text = `(${option.text} from now)`;
    if (words.textContent !== text) words.textContent = text;
    const at = new Date(window.serverNow() + seconds * 1000);
    const minute = at.toISOString().slice(0, 16);
    if (time.dateTime.slice(0, 16) === minute) return;
    time.dateTime = `${minute}:00Z`;
    time.title = `${window.times.utc(time.dateTime, "long")} UTC`;
  }

  document.addEventListener("change", (event) => {
    if (event.target.id !== "ttl") return;
    preview();
    const address = new URL(location.href);
    address.searchParams.set("ttl", event.target.value);
    history.replaceState(history.state, "", address);
  });
  window.page.watch("#ttl-preview", preview);
  setInterval(preview, 1000);

  // The end of a key

  const listed = () => document.getElementById("license-keys");

  function keepFocus(work) {
    const held = Boolean(document.activeElement?.closest("#keys"));
    work();
    if (held && document.activeElement === document.body) listed()?.focus({ preventScroll: true });
  }

  // What stands there only as long as its key is active.
  function tidy() {
    document.querySelectorAll("[data-while-active]").forEach((element) => {
      const option = document.getElementById(`option-${element.dataset.whileActive}`);
      if (!option?.closest("#active-keys")) element.remove();
    });
  }

  function expiredGroup() {
    const made = Object.assign(document.createElement("optgroup"), { label: "Expired", id: "expired-keys" });
    return document.getElementById("expired-keys") ?? listed().appendChild(made);
  }

  function end(option) {
    const { countdownUntil, countdownDone } = option.dataset;
    const chosen = listed().value;
    option.dataset.prefix = `${countdownDone} · `;
    ["countdownUntil", "countdownLabel", "countdownDone"].forEach((name) => delete option.dataset[name]);
    option.dataset.ended = countdownUntil;
    expiredGroup().prepend(option);
    listed().value = chosen;
    const active = document.getElementById("active-keys");
    if (active?.childElementCount === 0) active.remove();
    if (option.value === chosen) {
      document.querySelectorAll("#keys [data-over]").forEach((label) => { label.textContent = label.dataset.over; });
    }
    window.announce(`${option.value} has expired.`);
  }

  document.addEventListener("countdown:end", (event) => {
    if (!event.target.matches("#active-keys > option")) return;
    keepFocus(() => {
      end(event.target);
      tidy();
    });
  });

  // When a key ends, what had the focus (Copy, perhaps) is gone: the list of keys takes it.
  let held = false;
  document.addEventListener("htmx:before:swap", () => {
    held = Boolean(document.activeElement?.closest("#keys"));
  });
  document.addEventListener("htmx:after:swap", () => {
    tidy();
    if (held && document.activeElement === document.body) listed()?.focus({ preventScroll: true });
  });

  // Brought back by the browser as it was left: its form has been sent already, its keys may have ended.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
})();
