// "Log out" of the OP Agent (<form data-log-out="SESSION">) works off-line too: the window shuts at once, and the
// portal is told when it can be reached.
//
// Until then the browser remembers (localStorage) which session it is, so that a page that is loaded again does not
// open it. The session's token is in a cookie that no script can read; it is worth nothing once the portal is told.
(() => {
  "use strict";

  const KEY = "op-agent-log-out";
  const GRACE = 1200; // ms that the portal has to answer
  const EVERY = 5000; // ms between tries
  let request = null; // what tells the portal: { action, body, back }
  let telling = false;
  let signingIn = false;
  let closed = false;

  function close() {
    if (closed) return;
    closed = true;
    const said = document.getElementById("logged-out-off-line").content.cloneNode(true);
    window.agent.logOut(said);
    window.announce("You are logged out.");
  }

  // Whether the portal knows. Its answer is a redirect; another one means that the form was out of date.
  async function told() {
    const { action, body } = request;
    const answer = await fetch(action, { method: "POST", body, redirect: "manual", signal: AbortSignal.timeout(30000) });
    return answer.type === "opaqueredirect";
  }

  async function tell() {
    if (!request || telling || signingIn) return;
    telling = true;
    try {
      // Loaded again, a page has a new token, and logs out with it.
      if (await told()) done();
      else location.reload();
    } catch {
      close();
    } finally {
      telling = false;
    }
  }

  function done() {
    localStorage.removeItem(KEY);
    if (!closed) location.assign(request.back);
    // Somebody may be typing there by now.
    else document.querySelectorAll("[data-ended] .alert-heading ~ p").forEach((words) => words.remove());
    request = null;
  }

  function leave(form) {
    if (request) return;
    request = { action: form.action, body: new FormData(form), back: location.href };
    localStorage.setItem(KEY, form.dataset.logOut);
    setTimeout(() => {
      if (request) close();
    }, GRACE);
    tell();
  }

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-log-out]")) return;
    event.preventDefault();
    leave(event.target);
  }, true);

  // Logging in again ends the session before: nothing is told meanwhile, and nothing more once somebody is in.
  const isSignIn = (event) => event.detail.ctx.sourceElement.id === "agent-sign-in";
  document.addEventListener("htmx:before:request", (event) => {
    if (isSignIn(event)) signingIn = true;
  });
  document.addEventListener("htmx:after:request", (event) => {
    if (isSignIn(event) && event.detail.ctx.response.headers.has("HX-Redirect")) request = null;
  });
  document.addEventListener("htmx:finally:request", (event) => {
    if (isSignIn(event)) signingIn = false;
  });

  window.addEventListener("online", tell);
  setInterval(tell, EVERY);

  // Loaded while the portal has still to be told: nothing is shown of the session, unless it is another one by now.
  const waiting = localStorage.getItem(KEY);
  const form = document.querySelector("[data-log-out]");
  if (form && waiting === form.dataset.logOut) {
    close();
    leave(form);
  } else if (waiting) {
    localStorage.removeItem(KEY);
  }
})();
