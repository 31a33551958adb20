// Light or dark, before the first paint: loaded in the head without defer.
//
// The server writes the cookie's choice into data-theme-choice; "system" is followed here. The switch
// ([data-theme-switch]) goes round system, light, dark.
(() => {
  "use strict";

  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const order = ["system", "light", "dark"];

  root.classList.add("js");

  function paint() {
    const choice = root.dataset.themeChoice;
    root.dataset.bsTheme = choice === "system" ? (system.matches ? "dark" : "light") : choice;
    document.querySelectorAll("[data-theme-switch]").forEach((button) => {
      button.setAttribute("aria-label", `Theme: ${choice}`);
      button.title = `Theme: ${choice}`;
    });
  }

  function keep(choice) {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    const life = choice === "system" ? 0 : 365 * 24 * 3600;
    document.cookie = `theme=${choice}; Path=${root.dataset.cookiePath}; Max-Age=${life}; SameSite=Lax${secure}`;
  }

  paint();
  system.addEventListener("change", paint);

  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-switch]")) return;
    const choice = order[(order.indexOf(root.dataset.themeChoice) + 1) % order.length];
    root.dataset.themeChoice = choice;
    keep(choice);
    paint();
    window.announce?.(`Theme: ${choice}`);
  });
})();
