// The OP Agent in the browser.
//
// Sign-in: [data-key-options] and Ctrl+F10 show and hide the fields for a registration key; with a key, nothing can
// be saved. Workspace: #heartbeat asks the server by itself (htmx) and is asked once more at the instant at which the
// license ends (data-ends); if no answer comes, the page logs itself out with what is in <template data-title>.
// agent-log-out.js does the same on "Log out".
(() => {
  "use strict";

  const GRACE = 1200; // ms that the server has to answer at the expiry
  const WARNINGS = [60, 300]; // seconds before it, the shortest first

  // Registration key options

  function toggleKeyOptions() {
    const button = document.querySelector("[data-key-options]");
    const options = button?.closest(".key-options");
    if (!options) return;
    // Open already because a session has ended: the first press goes there, as it would have opened them.
    const opened = "opened" in options.dataset;
    delete options.dataset.opened;
    if (opened) {
      document.getElementById("registration_key").focus();
      return;
    }
    const shown = options.classList.toggle("is-shown");
    button.setAttribute("aria-expanded", String(shown));
    if (shown) document.getElementById("registration_key").focus();
    else button.focus();
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-key-options]")) toggleKeyOptions();
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "F10" || !event.ctrlKey || !document.querySelector("[data-key-options]")) return;
    event.preventDefault();
    if (!event.repeat) toggleKeyOptions();
  });

  // A key has no lines of its own: Enter logs in, as in the other fields.
  document.addEventListener("keydown", (event) => {
    if (event.target.id !== "registration_key" || event.key !== "Enter") return;
    if (event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!event.repeat) event.target.form.requestSubmit();
  });

  document.addEventListener("input", (event) => {
    if (event.target.id !== "registration_key") return;
    const save = document.getElementById("save_configuration");
    save.disabled = event.target.value.trim() !== "";
    if (save.disabled) save.checked = false;
  });

  document.addEventListener("htmx:before:request", (event) => {
    if (event.detail.ctx.sourceElement.id === "agent-sign-in") {
      window.announce(document.getElementById("checking-words").textContent);
    }
  });

  // The end of a license

  let over = null; // since when this page holds the license for ended, on the steady clock
  let warned = Infinity;

  // Without the server: `said` stands where the window says why the session ended.
  function logOut(said = null) {
    const template = document.querySelector("template[data-title]");
    const agent = document.getElementById("agent");
    window.htmx.trigger(document.getElementById("heartbeat"), "htmx:abort");
    agent.replaceChildren(template.content.cloneNode(true));
    if (said) agent.querySelector("[data-ended]").replaceChildren(said);
    window.htmx.process(agent);
    document.title = template.dataset.title;
  }

  window.agent = { logOut };

  function warn(left) {
    const next = WARNINGS.find((seconds) => left <= seconds * 1000 && seconds < warned);
    if (next === undefined) return;
    warned = next;
    const minutes = Math.ceil(left / 60000);
    window.announce(`Your temporary license ends in ${minutes === 1 ? "less than a minute" : `${minutes} minutes`}.`);
  }

  function watch() {
    const heartbeat = document.querySelector("#heartbeat[data-ends]");
    const left = heartbeat ? Date.parse(heartbeat.dataset.ends) - window.serverNow() : Infinity;
    if (left > 0) {
      over = null;
      if (heartbeat) warn(left);
      return;
    }
    over ??= performance.now();
    if (performance.now() - over > GRACE) {
      over = null;
      logOut();
    } else {
      // While an answer is awaited this asks nothing more (hx-sync).
      window.htmx.trigger(heartbeat, "check");
    }
  }

  setInterval(watch, 200);
  // A window that comes back to the front, or a laptop that wakes up, looks at once.
  document.addEventListener("visibilitychange", watch);
})();
