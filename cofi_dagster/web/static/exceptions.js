// On the page of exceptions: one box ticks all rows that are open. The page works without it.
"use strict";
(() => {
  const corner = document.querySelector("thead .tick");
  const boxes = [...document.querySelectorAll('input[type="checkbox"][form="bulk"]')];
  if (!corner || !boxes.length) return;
  const all = document.createElement("input");
  all.type = "checkbox";
  all.setAttribute("aria-label", "Tick all open rows");
  all.addEventListener("change", () => { for (const box of boxes) box.checked = all.checked; });
  corner.append(all);
})();
