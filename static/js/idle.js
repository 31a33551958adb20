// A sign-in ends for want of activity: two minutes before that, #idle-notice says so and has "Stay signed in".
//
// When it will end is in data-idle-ends and in the header X-Idle-Ends of every answer; the windows of a browser share
// the latest, because what is done in one keeps all of them.
(() => {
  "use strict";

  const KEY = "idle-ends";
  const WARNING = 120000; // ms before the end
  const notice = document.getElementById("idle-notice");
  if (!notice) return;

  const words = notice.querySelector("[data-words]");
  const button = notice.querySelector("button");
  const first = Date.parse(document.body.dataset.idleEnds);
  // Where a sign-in is short there is less to warn of.
  const warning = Math.min(WARNING, (first - window.serverNow()) / 2);
  let ends = first;

  const shared = () => Date.parse(localStorage.getItem(KEY) ?? "") || 0;

  function learn(iso) {
    const at = Date.parse(iso ?? "");
    if (Number.isNaN(at)) return;
    ends = at;
    if (at > shared()) localStorage.setItem(KEY, iso);
    look();
  }

  function say(text) {
    if (words.dataset.said === text) return;
    words.dataset.said = text;
    if (text && !notice.matches(":popover-open")) notice.showPopover();
    if (!text && notice.matches(":popover-open")) notice.hidePopover();
    words.textContent = text;
  }

  function look() {
    const left = Math.max(ends, shared()) - window.serverNow();
    button.hidden = left <= 0;
    if (left > warning) {
      say("");
    } else if (left > 0) {
      const minutes = Math.ceil(left / 60000);
      say(`You will be signed out in ${minutes === 1 ? "less than a minute" : `${minutes} minutes`}, because there was no activity.`);
    } else {
      say("You were signed out because there was no activity. What you typed here stays: send it, and it is kept until you have signed in again.");
    }
  }

  notice.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const answer = await fetch(notice.action, { method: "POST", body: new FormData(notice), redirect: "manual" });
      // Anything else: somebody signed in or out in another window, and this one has to find out.
      window.reach.found(notice);
      if (answer.status === 204) learn(answer.headers.get("X-Idle-Ends"));
      else location.reload();
    } catch {
      window.reach.lost(notice, button);
    }
  });

  document.addEventListener("htmx:after:request", (event) => {
    learn(event.detail.ctx.response.headers.get("X-Idle-Ends"));
  });

  learn(document.body.dataset.idleEnds);
  setInterval(look, 1000);
})();
