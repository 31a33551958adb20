// When the portal cannot be reached the page says so once, keeps what was typed, and tries again: on a button
// ([data-retry]), and by itself when the network is back.
//
// A form that the browser itself would send is sent only when the portal answers, or what was typed would give way to
// the browser's error page. What a search has found and could not renew is marked as old, on a list's page with words
// (#old-results).
//
//   reach.lost(source, submitter), reach.found(source)   for who sends something without htmx
(() => {
  "use strict";

  const PATIENCE = 30000; // ms, as htmx has
  const TIMER = '[hx-trigger*="every "]';
  const FOUND = "#results, #hits, #palette-options";
  const notice = document.getElementById("failure-notice");
  let failed = null; // what to try again: { source, submitter }
  let byItself = false;
  let asking = null; // the form for which the portal is being looked for

  function say(shown) {
    if (shown === notice.matches(":popover-open")) return;
    // Shown first, for a live region tells only what changes in it. In the top layer, above an open dialog.
    if (shown) notice.showPopover();
    else notice.hidePopover();
    notice.querySelector("[data-words]").textContent = shown ? notice.dataset.text : "";
  }

  function markOld(target, old) {
    if (!target?.matches(FOUND)) return;
    target.classList.toggle("is-old", old);
    const note = document.getElementById("old-results");
    if (note && target.id === "results") note.hidden = !old;
  }

  function lost(source, submitter = null) {
    // What a person asked for is tried again: not a timer, which goes on by itself, nor what is looked up for a field
    // of a form that was to be sent.
    const beside = source.matches(TIMER) || (failed && failed.source !== source && failed.source.contains(source));
    if (!failed || !beside) {
      failed = { source, submitter };
      byItself = true;
    }
    say(true);
  }

  const owner = (element) => element.closest("form") ?? element;

  // The portal has answered `source`. What a person had asked for before is tried now, or waits for the button.
  function found(source) {
    const waits = failed?.source.isConnected && !failed.source.matches(TIMER);
    if (!waits || source === failed.source || source === owner(failed.source)) {
      failed = null;
      say(false);
    } else if (byItself) {
      byItself = false;
      again();
    }
  }

  window.reach = { lost, found };

  function again() {
    const { source, submitter } = failed ?? {};
    if (!source?.isConnected) return;
    const form = source.matches("form") ? source : source.form;
    if (source.matches(TIMER)) window.htmx.trigger(source, "check");
    else if (form?.matches("[hx-get], [hx-post]") || source === form) form.requestSubmit(submitter);
    else if (source.matches("input, select")) source.dispatchEvent(new Event("change", { bubbles: true }));
    else source.click();
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-retry]")) again();
  });

  window.addEventListener("online", () => {
    if (!byItself) return;
    byItself = false;
    again();
  });

  // Somebody goes on typing: what was sent before is not sent behind their back.
  document.addEventListener("input", (event) => {
    if (failed && event.target.form && event.target.form === (failed.source.form ?? failed.source)) byItself = false;
  });

  document.addEventListener("htmx:error", (event) => {
    const { ctx } = event.detail;
    if (!ctx || ctx.response) return;
    markOld(ctx.target, true);
    lost(ctx.sourceElement);
  });

  document.addEventListener("htmx:after:request", (event) => {
    const { sourceElement, target } = event.detail.ctx;
    markOld(target, false);
    found(sourceElement);
  });

  async function reachable() {
    try {
      const icon = document.querySelector("link[rel=icon]").href;
      await fetch(icon, { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
      return true;
    } catch {
      return false;
    }
  }

  document.addEventListener("submit", async (event) => {
    const { target: form, submitter } = event;
    const method = submitter?.getAttribute("formmethod") ?? form.method;
    // What is only looked for waits for nobody: it is held back where there is no network at all.
    const changes = method.toLowerCase() === "post";
    if (event.defaultPrevented || form.matches("[hx-get], [hx-post]") || (!changes && navigator.onLine)) return;
    if (form.dataset.sending) return;
    event.preventDefault();
    if (!changes) {
      lost(form, submitter);
      return;
    }
    if (asking === form) return;
    asking = form;
    const answers = await reachable();
    asking = null;
    if (!answers) {
      lost(form, submitter);
      return;
    }
    found(form);
    form.dataset.sending = "yes";
    form.requestSubmit(submitter);
    delete form.dataset.sending;
  });
})();
