// Menus that a button opens: <div data-menu><button aria-expanded aria-controls="ID">, <ul id="ID" class="dropdown-menu">.
// Escape and a click elsewhere close; the arrow keys walk. Without JavaScript the list is simply there.
(() => {
  "use strict";

  const buttonOf = (menu) => menu.querySelector("[aria-expanded]");
  const listOf = (menu) => menu.querySelector(".dropdown-menu");
  const itemsOf = (menu) => [...listOf(menu).querySelectorAll("a[href], button")];
  const isOpen = (menu) => buttonOf(menu).getAttribute("aria-expanded") === "true";

  function setOpen(menu, open) {
    buttonOf(menu).setAttribute("aria-expanded", String(open));
    listOf(menu).classList.toggle("show", open);
  }

  function closeOthers(kept) {
    document.querySelectorAll("[data-menu]").forEach((menu) => {
      if (menu !== kept && isOpen(menu)) setOpen(menu, false);
    });
  }

  document.addEventListener("click", (event) => {
    const menu = event.target.closest("[data-menu]");
    closeOthers(menu);
    if (menu && event.target.closest("[aria-expanded]")) setOpen(menu, !isOpen(menu));
  });

  document.addEventListener("focusin", (event) => closeOthers(event.target.closest("[data-menu]")));

  document.addEventListener("keydown", (event) => {
    const menu = event.target.closest?.("[data-menu]");
    if (!menu) return;
    const items = itemsOf(menu);
    const at = items.indexOf(document.activeElement);
    const last = items.length - 1;

    if (event.key === "Escape" && isOpen(menu)) {
      setOpen(menu, false);
      buttonOf(menu).focus();
    } else if (event.key === "ArrowDown") {
      setOpen(menu, true);
      items[at < last ? at + 1 : 0]?.focus();
    } else if (event.key === "ArrowUp") {
      setOpen(menu, true);
      items[at > 0 ? at - 1 : last]?.focus();
    } else if (event.key === "Home" && at >= 0) {
      items[0].focus();
    } else if (event.key === "End" && at >= 0) {
      items[last].focus();
    } else {
      return;
    }
    event.preventDefault();
  });
})();
