// SPDX-License-Identifier: Apache-2.0
// Sorts the table of a cohort page by the column whose heading is chosen; cells say how in "data-sort".
"use strict";
(() => {
  const table = document.getElementById("cohort");
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const names = new Intl.Collator(undefined, { numeric: true });

  function compare(one, other, direction) {
    if (one === "" || other === "") return one === other ? 0 : one === "" ? 1 : -1; // unknown last, either way
    const [a, b] = [Number(one), Number(other)];
    return direction * (Number.isNaN(a) || Number.isNaN(b) ? names.compare(one, other) : a - b);
  }

  function sortBy(index) {
    const falling = heads[index].getAttribute("aria-sort") === "ascending";
    heads.forEach((head) => head.setAttribute("aria-sort", "none"));
    heads[index].setAttribute("aria-sort", falling ? "descending" : "ascending");
    const key = (row) => row.cells[index].dataset.sort;
    const rows = [...body.rows].sort((one, other) => compare(key(one), key(other), falling ? -1 : 1));
    body.append(...rows);
    const order = falling ? "falling" : "rising";
    document.getElementById("live").textContent = `Sorted by ${heads[index].textContent}, ${order}`;
  }

  heads.forEach((head, index) => head.querySelector("button").addEventListener("click", () => sortBy(index)));
})();
