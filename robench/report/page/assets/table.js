// Makes a table that the reader sorts by the buttons in its head. Missing values stay last in both directions.
//
// columns: [{ title, value(row), cell(row), numeric }]; rows are sorted by value(row), which is null if it is missing.
// by: the index of the column that sorts the rows at first; null keeps the order of the rows.

function sortableTable({ caption, columns, rows, by, descending, announce }) {
  const body = el("tbody");
  const heads = columns.map((column, place) => head(column, () => toggle(place)));
  const state = { rows, by, descending };
  const table = el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, heads)), body);

  function toggle(place) {
    state.descending = state.by === place ? !state.descending : Boolean(columns[place].numeric);
    state.by = place;
    draw();
    announce?.(said());
  }

  function draw() {
    heads.forEach((each, place) => mark(each, place === state.by, state.descending));
    const ordered = state.by === null ? state.rows : sorted(state.rows, columns[state.by], state.descending);
    body.replaceChildren(...ordered.map(tableRow));
  }

  const tableRow = (row) => el("tr", {}, columns.map((column, place) => tableCell(column, row, place === 0)));
  const said = () => `sorted by ${columns[state.by].title}, ${state.descending ? "descending" : "ascending"}`;
  draw();
  return { element: table, said, state, show(shown) { state.rows = shown; draw(); } };
}

function head(column, click) {
  const arrow = el("span", { class: "arrow", "aria-hidden": "true" });
  const button = el("button", { type: "button", click }, column.numeric ? [arrow, column.title] : [column.title, arrow]);
  return el("th", { scope: "col", class: column.numeric ? "number" : null }, button);
}

function mark(cell, isSorted, descending) {
  if (isSorted) cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
  else cell.removeAttribute("aria-sort");
  cell.querySelector(".arrow").textContent = isSorted ? (descending ? "▼" : "▲") : "";
}

function tableCell(column, row, isFirst) {
  const content = column.cell(row);
  if (isFirst) return el("th", { scope: "row" }, content);
  return el("td", { class: column.numeric ? "number" : null }, content);
}

function sorted(rows, column, descending) {
  const sign = descending ? -1 : 1;
  const order = (a, b) => {
    const [x, y] = [column.value(a), column.value(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    if (typeof x === "string") return sign * x.localeCompare(y, "en", { numeric: true });
    return sign * (x - y);
  };
  return [...rows].sort(order);
}

// Makes a plain table: the first cell of each row is the row's name, the next `numbers` cells are numbers.
function plainTable(caption, heads, rows, numbers = heads.length) {
  const look = (place) => (place > 0 && place <= numbers ? "number" : null);
  const top = heads.map((each, place) => el("th", { scope: "col", class: look(place) }, each));
  const body = rows.map(([name, ...cells]) =>
    el("tr", {}, el("th", { scope: "row" }, name), cells.map((cell, place) => el("td", { class: look(place + 1) }, cell))),
  );
  return el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, top)), el("tbody", {}, body));
}
