// The License tab: what depends on the clock is worked out here, so that it is true without the portal too.
//
// #ttl-preview says what a key will do. For a plain one it is worked out here: its data-seconds has the length of each
// TTL. For one with options the portal says it, and until it has, it is dimmed and its button held. Instants with
// data-after (seconds) count from now, and move on while the page stands open.
// A key that ends goes to "Expired", and with it whatever has data-while-active="KEY-ID"; one that starts, to "Active".
(() => {
  "use strict";

  // What will happen

  const UNTIL = "until";
  const box = () => document.getElementById("ttl-preview");
  const ttl = () => document.getElementById("ttl");

  function hold(held) {
    box().classList.toggle("is-unknown", held);
    box().closest("form").querySelectorAll("[type=submit]").forEach((button) => { button.disabled = held; });
  }

  function move(time) {
    const at = new Date(window.serverNow() + Number(time.dataset.after) * 1000);
    const minute = at.toISOString().slice(0, 16);
    if (time.dateTime.slice(0, 16) === minute) return;
    time.dateTime = `${minute}:00Z`;
    time.title = `${window.times.utc(time.dateTime, "long")} UTC`;
  }

  function preview() {
    if (!box() || !ttl()) return;
    const words = box().querySelector("[data-ttl-words]");
    if (words && ttl().value !== UNTIL) {
      const seconds = JSON.parse(box().dataset.seconds)[ttl().selectedIndex];
      hold(!(seconds > 0));
      if (!(seconds > 0)) return;
      const text = `(${ttl().selectedOptions[0].text} from now)`;
      if (words.textContent !== text) words.textContent = text;
      box().querySelector("time").dataset.after = seconds;
    }
    box().querySelectorAll("time[data-after]").forEach(move);
  }

  // More options

  const options = () => document.getElementById("options");

  function areUsed() {
    return [...options().elements].some((field) => (field.type === "checkbox" ? field.checked : field.value));
  }

  // Until the portal has said it, the form is not sent; whoever sends it meanwhile has it sent then. The button is not
  // disabled: a field that is left for it changes at that very moment, and the click would be lost.
  const PATIENCE = 3000; // ms
  let waiting = null;
  let sender = null;

  // While the button is pressed nothing may move under the pointer; the form is on its way then.
  let pressed = false;
  document.addEventListener("pointerdown", (event) => {
    pressed = Boolean(event.target.closest("#generate-form [type=submit]"));
  }, true);
  ["pointerup", "pointercancel"].forEach((name) => document.addEventListener(name, () => { pressed = false; }, true));

  function askAgain() {
    if (pressed) return;
    // An answer that is on its way is of the options before: it is asked for anew.
    if (!waiting && box().querySelector("[data-ttl-words]") && !areUsed()) return;
    clearTimeout(waiting);
    waiting = setTimeout(goOn, PATIENCE);
    box().classList.add("is-unknown");
    window.htmx.trigger(box(), "preview");
  }

  function goOn() {
    clearTimeout(waiting);
    waiting = null;
    box()?.classList.remove("is-unknown");
    const held = sender;
    sender = null;
    if (held?.isConnected) held.form.requestSubmit(held);
  }

  document.addEventListener("submit", (event) => {
    if (event.target.id !== "generate-form" || !waiting) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    sender = event.submitter ?? event.target.querySelector("[type=submit]");
  }, true);

  window.page.watch("#ttl-preview > p:first-child", goOn);

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-more-options]");
    if (!button) return;
    const block = document.getElementById("more-options");
    const shown = block.classList.toggle("is-shown");
    button.setAttribute("aria-expanded", String(shown));
    // Open, they come before the button that sends them; shut, they stand in nobody's way to it.
    if (shown) box().before(block);
    else block.parentElement.append(block);
    button.focus();
    // Remembered for this person; that it cannot be just now is no harm.
    const token = JSON.parse(document.body.getAttribute("hx-headers:inherited"))["X-CSRFToken"];
    const body = new URLSearchParams({ open: shown ? "1" : "0" });
    fetch(button.dataset.moreOptions, { method: "POST", body, headers: { "X-CSRFToken": token } }).catch(() => {});
  });

  // An end that is given stands in the place of a TTL.
  function takeEnd(end) {
    let until = ttl().querySelector(`option[value="${UNTIL}"]`);
    if (end) {
      if (!until) {
        ttl().dataset.before = ttl().value;
        until = new Option("", UNTIL);
        ttl().prepend(until);
      }
      until.textContent = `Until ${window.times.local(end, "long") ?? end}`;
      ttl().value = UNTIL;
    } else if (until) {
      until.remove();
      ttl().value = ttl().dataset.before ?? ttl().options[0].value;
    }
  }

  document.addEventListener("change", (event) => {
    if (event.target.closest("#options")) {
      if (event.target.id === "ends") takeEnd(event.target.value);
      askAgain();
    }
    if (event.target.id !== "ttl") return;
    if (event.target.value !== UNTIL) {
      const end = document.getElementById("ends");
      end.value = "";
      ttl().dataset.before = ttl().value;
      takeEnd("");
      const address = new URL(location.href);
      address.searchParams.set("ttl", event.target.value);
      history.replaceState(history.state, "", address);
    }
    preview();
    askAgain();
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

  // The time of a scheduled key has come: the portal, asked again, says the rest.
  function start(option) {
    const { starts, ends } = option.dataset;
    if (Date.parse(starts) > window.serverNow()) return;
    const chosen = listed().value;
    const made = Object.assign(document.createElement("optgroup"), { label: "Active", id: "active-keys" });
    const active = document.getElementById("active-keys") ?? (listed().prepend(made), made);
    ["ended", "prefix", "starts", "ends"].forEach((name) => delete option.dataset[name]);
    option.dataset.countdownLabel = `${option.value} · Active for {left}${option.dataset.suffix ?? ""}`;
    option.dataset.countdownDone = `${option.value} · Key expired`;
    active.append(option);
    option.dataset.countdownUntil = ends;
    listed().value = chosen;
    const scheduled = document.getElementById("scheduled-keys");
    if (scheduled?.childElementCount === 0) scheduled.remove();
    window.announce(`${option.value} has started.`);
  }

  setInterval(() => document.querySelectorAll("#scheduled-keys > option").forEach(start), 1000);

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
