// A picture of windows of time: the line that is now moves on.
(() => {
  "use strict";

  function moveNow() {
    const picture = document.querySelector(".timeline svg");
    const line = picture?.querySelector(".timeline-now");
    if (!line) return;
    const [from, to] = [Date.parse(picture.dataset.begins), Date.parse(picture.dataset.ends)];
    const x = `${Math.min(100, ((window.serverNow() - from) / (to - from)) * 100).toFixed(2)}%`;
    ["x1", "x2"].forEach((end) => line.setAttribute(end, x));
  }
  setInterval(moveNow, 1000);
})();
