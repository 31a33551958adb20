// What is under way, and what failed.
//
// A thin bar on top while a request runs (its delay is in the style sheet), and the words of [data-busy] in the form's
// button; after a while of a change being sent, a sentence (the form's own, if it has data-slow). A form that is being
// sent is not sent twice. Requests made by a timer (hx-trigger="every ...", or anything under data-quiet) show no bar;
// what one of them told in #notices goes when the next succeeds.
(() => {
  "use strict";

  const PATIENCE = 3000;
  const NO_FLICKER = 150;
  const root = document.documentElement;
  const running = new Map();
  let sentForm = null;
  let sentTimer;
  let timerFailed = false;

  const isQuiet = (source) => Boolean(
    source?.closest?.("[data-quiet]") || source?.getAttribute?.("hx-trigger")?.includes("every "),
  );

  function notice(id, shown, text) {
    const element = document.getElementById(id);
    if (!element || (element.textContent !== "") === shown) return;
    // In the top layer, or an open dialog would cover it. Shown first, for a live region tells only what changes in it.
    if (shown) element.showPopover?.();
    else if (element.matches(":popover-open")) element.hidePopover();
    element.textContent = shown ? text ?? element.dataset.text : "";
  }

  // The button of a form that is being sent says so, unless the answer is quick.

  let busyLabel = null;
  let busyTimer;

  function busy(form, submitter) {
    const label = (submitter ?? form)?.querySelector?.("[data-busy]");
    if (!label || label === busyLabel) return;
    idle();
    busyTimer = setTimeout(() => {
      busyLabel = label;
      label.dataset.usual = label.textContent;
      label.textContent = label.dataset.busy;
    }, NO_FLICKER);
  }

  function idle() {
    clearTimeout(busyTimer);
    if (busyLabel) busyLabel.textContent = busyLabel.dataset.usual;
    busyLabel = null;
  }

  const slow = () => notice("slow-notice", true, sentForm?.dataset.slow);

  function refresh() {
    const seen = [...running.values()].some((request) => !request.quiet);
    const changing = sentForm !== null || [...running.values()].some((request) => request.timer);
    root.classList.toggle("is-loading", seen || sentForm !== null);
    if (!changing) notice("slow-notice", false);
  }

  document.addEventListener("htmx:before:request", (event) => {
    const { ctx } = event.detail;
    const quiet = isQuiet(ctx.sourceElement);
    const changes = (ctx.request.method ?? "GET").toUpperCase() !== "GET";
    running.set(ctx, { quiet, timer: changes ? setTimeout(slow, PATIENCE) : 0 });
    if (changes) busy(ctx.sourceElement, ctx.sourceEvent?.submitter);
    refresh();
  });

  document.addEventListener("htmx:finally:request", (event) => {
    const request = running.get(event.detail.ctx);
    clearTimeout(request?.timer);
    running.delete(event.detail.ctx);
    if (request?.timer) idle();
    refresh();
  });

  document.addEventListener("htmx:after:request", (event) => {
    const { ctx } = event.detail;
    const failed = ctx.response.status >= 400;
    if (!isQuiet(ctx.sourceElement)) {
      // What was refused before has been done now: an old refusal beside it would mislead.
      if (!failed) document.querySelectorAll("#notices :is(.alert-danger, .alert-warning)").forEach((n) => n.remove());
      return;
    }
    if (timerFailed && !failed) document.getElementById("notices")?.replaceChildren();
    timerFailed = failed;
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    const method = event.submitter?.getAttribute("formmethod") ?? form.method;
    if (event.defaultPrevented || method.toLowerCase() !== "post") return;
    if (form === sentForm) {
      event.preventDefault();
      return;
    }
    sentForm = form;
    sentTimer = setTimeout(slow, PATIENCE);
    busy(form, event.submitter);
    refresh();
  });

  // Back to this page, or kept by the browser: nothing is being sent any more.
  window.addEventListener("pageshow", () => {
    sentForm = null;
    idle();
    clearTimeout(sentTimer);
    refresh();
  });
})();
