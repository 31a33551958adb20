// The OP Agent in the browser.
//
// Sign-in: [data-key-options] and Ctrl+F10 show and hide the fields for a registration key; with a key, nothing can
// be saved. Workspace: #heartbeat asks the server by itself (htmx) and is asked once more at the instant at which the
// license ends (data-ends); if no answer comes, the page logs itself out with what is in <template data-title>.
// agent-log-out.js does the same on "Log out". #license-banner drains, and says once when little of its TTL is left.
(() => {
  "use strict";

  const GRACE = 1200; // ms that the server has to answer at the expiry
  const WARNINGS = [["is-last", 0.05], ["is-ending", 0.2]]; // so much of the TTL is left, the least first

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
  let warned = ""; // for which end, and how far on

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

  // A license that was extended has another end, and warns anew.
  function drain(left) {
    const banner = document.getElementById("license-banner");
    const { starts, ends } = banner.dataset;
    const ttl = Date.parse(ends) - Date.parse(starts);
    const [stage] = WARNINGS.find(([, part]) => left <= part * ttl) ?? [""];
    banner.querySelector("progress").value = left / 1000;
    for (const [name] of WARNINGS) banner.classList.toggle(name, name === stage);
    if (stage && warned !== ends + stage) window.announce(`Your temporary license ends in ${window.timeLeft(left)}.`);
    warned = ends + stage;
  }

  function watch() {
    const heartbeat = document.querySelector("#heartbeat[data-ends]");
    const left = heartbeat ? Date.parse(heartbeat.dataset.ends) - window.serverNow() : Infinity;
    if (left > 0) {
      over = null;
      if (heartbeat) drain(left);
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
