"use strict";
const keyOf = (row, column) => {
  const key = row.cells[column].dataset.key;
  const number = key === "-inf" ? -Infinity : Number(key);
  return key === "" || Number.isNaN(number) ? key : number;
};
const compare = (a, b) => typeof a === "number" && typeof b === "number"
  ? a - b : String(a).localeCompare(String(b), undefined, {numeric: true});

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => sign * compare(keyOf(a, column), keyOf(b, column)));
      table.tBodies[0].append(...rows);
    });
  });
}

for (const form of document.querySelectorAll("form.filters")) {
  const rows = [...form.parentNode.querySelectorAll("tbody tr")];
  const search = form.querySelector("input");
  const selects = [...form.querySelectorAll("select")];
  const update = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word)) || !selects.every(
        (s) => !s.value || row.cells[s.dataset.column].textContent === s.value);
      shown += !row.hidden;
    }
    form.querySelector("output").textContent = `${shown} of ${rows.length}`;
  };
  form.hidden = false;
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
}
