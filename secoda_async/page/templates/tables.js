"use strict";
(() => {
  // What is larger than its place can be scrolled without a mouse too.
  for (const place of document.querySelectorAll(".table, .value")) {
    if (place.scrollWidth <= place.clientWidth && place.scrollHeight <= place.clientHeight) continue;
    place.tabIndex = 0;
    place.setAttribute("role", "region");
    const name = place.querySelector("caption") ?? place.closest("tr").cells[0];
    place.setAttribute("aria-label", name.textContent);
  }

  // Tables whose headings sort.
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      heading.replaceChildren(button);
      button.addEventListener("click", () => {
        const isNumber = heading.classList.contains("number");
        const was = heading.getAttribute("aria-sort");
        const now = was === (isNumber ? "descending" : "ascending") ? (isNumber ? "ascending" : "descending")
          : (isNumber ? "descending" : "ascending");
        headings.forEach((one) => one.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", now);
        const key = (row) => (isNumber ? Number(row.cells[place].dataset.value) : row.cells[place].textContent);
        const compare = (one, other) => (isNumber ? key(one) - key(other) : key(one).localeCompare(key(other)));
        const sign = now === "ascending" ? 1 : -1;
        table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => sign * compare(a, b)));
      });
    });
  }
})();
