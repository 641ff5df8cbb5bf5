// Draws tables whose cells are coloured by their value: common corruptions, and transfer.

const SHADES = 8;

// rows: [{ name, cells: [number or null], marks: [text] }]; one colour scale for the whole table.
function heatTable(caption, corner, columns, rows) {
  const values = rows.flatMap((row) => row.cells).filter((value) => value !== null);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const shade = (value) => Math.min(SHADES - 1, Math.floor((SHADES * (value - low)) / (high - low || 1)));
  const cell = (value, mark) =>
    value === null ? el("td", { class: "number" }, "–")
      : el("td", { class: `number heat heat-${shade(value)}` }, percent(value) + (mark ?? ""));
  const body = rows.map((row) =>
    el("tr", {}, el("th", { scope: "row" }, row.name), row.cells.map((value, place) => cell(value, row.marks?.[place]))),
  );
  const heads = [corner, ...columns].map((each, place) => el("th", { scope: "col", class: place ? "number" : null }, each));
  return scrolling(caption,
    el("table", { class: "heat-table" },
      el("caption", {}, `${caption} Darkest: ${percent(low)}, lightest: ${percent(high)}.`),
      el("thead", {}, el("tr", {}, heads)), el("tbody", {}, body)));
}

function corruptionSection(defense) {
  if (!defense.corruptions.length) {
    return [el("p", {}, "No verdicts on corrupted images: run ", el("code", {}, `robench eval --model ${defense.name} --battery corruptions`), ".")];
  }
  return defense.corruptions.flatMap((grid) => {
    const caption = `Accuracy (%) under corruptions, ${grid.origin} images, ${grid.n} examples, seed ${grid.seed}.`;
    const rows = grid.rows.map((row) => ({ name: row.name.replaceAll("_", " "), cells: [...row.cells, row.mean] }));
    const sums = [
      grid.clean === null ? "" : `Clean: ${percent(grid.clean)}.`,
      grid.mean === null ? "Some corruptions are missing, so there is no mean (mCA)." : `Mean over all (mCA): ${percent(grid.mean)}.`,
      grid.error === null ? "" : `Mean corruption error (mCE): ${percent(grid.error)}.`,
      grid.rule,
    ];
    return [
      heatTable(caption, "Corruption", ["1", "2", "3", "4", "5", "mean"], rows),
      el("p", { class: "note" }, sums.filter(Boolean).join(" ")),
    ];
  });
}

// transfer-pgd-20-from-alp: examples that pgd-20 crafts on alp.
function transferParts(name) {
  const match = /^transfer-(.+?)-from-(.+)$/.exec(name);
  return match && { attack: match[1], substitute: match[2] };
}

function transferSection(data, defense) {
  const targets = data.defenses.filter((each) => each.setting === defense.setting);
  const found = new Map();
  for (const target of targets) {
    for (const record of target.records) {
      const { name } = data.attacks[record.attack];
      if (transferParts(name)) found.set(name, (found.get(name) ?? new Map()).set(target.name, record.accuracy));
    }
  }
  const columns = targets.filter((target) => [...found.values()].some((row) => row.has(target.name)));
  if (!columns.includes(defense)) {
    return [el("p", {}, "No transferred examples were shown to this defense: run ", el("code", {}, `robench eval --battery transfer --model ${defense.name} --substitute NAME`), ".")];
  }
  const rows = [...found].map(([name, row]) => {
    const { attack, substitute } = transferParts(name);
    return {
      name: `${substitute}, ${attack}`,
      cells: columns.map((target) => row.get(target.name) ?? null),
      marks: columns.map((target) => (shortName(target.name) === substitute ? " *" : "")),
    };
  });
  const heads = columns.map((target) => shortName(target.name) + (target === defense ? " (this)" : ""));
  return [
    heatTable("Robust accuracy (%) of the defense in the column on examples crafted on the defense in the row.", "Crafted on, with", heads, rows),
    el("p", { class: "note" }, "* The substitute is the target itself: a white-box attack, but only the last iterate counts."),
  ];
}
