// "Log out" of the OP Agent (<form data-log-out="SESSION">) shuts the window at once, whatever the portal does; it is
// told now, or else when it can be reached.
//
// Until then the browser remembers (localStorage) which session it is, so that a page that is loaded again does not
// open it. The session's token is in a cookie that no script can read; it is worth nothing once the portal is told.
(() => {
  "use strict";

  const KEY = "op-agent-log-out";
  const PATIENCE = 30000; // ms for one try
  const EVERY = 5000; // ms between tries
  let request = null; // what tells the portal: { action, body }
  let trying = null; // the AbortController of the try that is under way
  let signingIn = false;

  function shut() {
    const said = document.getElementById("logged-out-by-hand").content.cloneNode(true);
    window.agent.logOut(said);
  }

  function untold(shown) {
    document.querySelectorAll("[data-untold]").forEach((words) => { words.hidden = !shown; });
  }

  async function send() {
    const timer = setTimeout(() => trying.abort(), PATIENCE);
    try {
      // Even if the page is left meanwhile.
      return await fetch(request.action, { method: "POST", body: request.body, keepalive: true, signal: trying.signal });
    } finally {
      clearTimeout(timer);
    }
  }

  async function tell() {
    if (!request || trying || signingIn) return;
    trying = new AbortController();
    try {
      const answer = await send();
      if (answer.status === 204) {
        localStorage.removeItem(KEY);
        request = null;
        untold(false);
      } else if (answer.status === 422) {
        // The form was out of date. Loaded again, the page has a new token, and logs out with it.
        location.reload();
      }
    } catch {
      untold(Boolean(request));
    } finally {
      trying = null;
    }
  }

  function leave(form) {
    const body = new FormData(form);
    body.set("shown", "yes");
    request = { action: form.action, body };
    localStorage.setItem(KEY, form.dataset.logOut);
    shut();
    tell();
  }

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-log-out]")) return;
    event.preventDefault();
    leave(event.target);
  }, true);

  // Logging in again ends the session before: nothing is told meanwhile, for its answer would take the new cookie
  // away, and nothing more once somebody is in.
  const isSignIn = (event) => event.detail.ctx.sourceElement.id === "agent-sign-in";
  document.addEventListener("htmx:before:request", (event) => {
    if (!isSignIn(event)) return;
    signingIn = true;
    trying?.abort();
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
  if (form && waiting === form.dataset.logOut) leave(form);
  else if (waiting) localStorage.removeItem(KEY);
})();
