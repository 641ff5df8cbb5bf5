// Draws the defenses of one setting in a table, which the reader can sort, filter and extend by attacks.

const USUAL = ["pgd-20", "pgd-500", "autoattack", "cascade", "square"];

function showLeaderboard(data) {
  const chosen = new Set(USUAL.filter((attack) => data.attack_names.includes(attack)));
  const fields = ["filter-name", "filter-setting", "filter-trust"].map(byId);
  const status = byId("leaderboard-status");
  const settings = [...new Set(data.defenses.map((defense) => defense.setting))];
  options(fields[1], settings);
  // Ranks of several settings do not compare, so one setting is shown at a time.
  if (settings.length > 1) fields[1].options[0].remove();
  options(fields[2], Object.keys(MARKS).filter((level) => data.defenses.some((d) => trustOf(data, d) === level)));
  let table;

  const matching = () => data.defenses.filter((defense) => matches(data, defense, fields.map((field) => field.value)));
  const announce = () => {
    const all = data.defenses.filter((defense) => !fields[1].value || defense.setting === fields[1].value).length;
    status.textContent = `${matching().length} of ${plural(all, "defense")}, ${table.said()}.`;
  };
  const update = () => { table.show(matching()); announce(); };
  const rebuild = () => {
    const before = table?.state ?? { by: 1, descending: true };
    const columns = boardColumns(data, [...data.attack_names].filter((attack) => chosen.has(attack)));
    const by = Math.min(before.by, columns.length - 1);
    table = sortableTable({
      caption: "Accuracy (%) of each defense", columns, rows: matching(), by, descending: before.descending, announce,
    });
    byId("leaderboard-table").replaceChildren(scrolling("Table of the leaderboard", table.element, "tall"));
    announce();
  };
  for (const field of fields) field.addEventListener("input", update);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("column-choices").append(...data.attack_names.map((attack) => columnChoice(attack, chosen, rebuild)));
  rebuild();
}

function matches(data, defense, [name, setting, level]) {
  return (
    defense.name.toLowerCase().includes(name.trim().toLowerCase()) &&
    (!setting || defense.setting === setting) &&
    (!level || trustOf(data, defense) === level)
  );
}

function columnChoice(attack, chosen, rebuild) {
  const change = (event) => {
    chosen[event.target.checked ? "add" : "delete"](attack);
    rebuild();
  };
  return el("label", {}, el("input", { type: "checkbox", checked: chosen.has(attack), change }), ` ${attack}`);
}

function boardColumns(data, attacks) {
  const number = (title, value) => ({
    title, value, numeric: true, cell: (defense) => (value(defense) === null ? "–" : percent(value(defense))),
  });
  return [
    { title: "Defense", value: (defense) => defense.name, cell: (defense) => defenseLink(defense) },
    number("Worst case", (defense) => defense.worst.accuracy),
    { title: "95% interval", numeric: true, value: (defense) => defense.worst.low, cell: (defense) => interval(defense.worst) },
    {
      title: "Trust",
      value: (defense) => Object.keys(MARKS).indexOf(trustOf(data, defense)),
      cell: (defense) => el("span", { class: "whole" }, trustBadge(trustOf(data, defense)), incomplete(defense)),
    },
    number("Clean", (defense) => defense.clean),
    ...(data.defenses.some((defense) => defense.mca !== null)
      ? [number("mCA", (defense) => defense.mca)]
      : []),
    ...attacks.map((attack) => number(attack, (defense) => recordOf(data, defense, attack)?.accuracy ?? null)),
  ];
}

const recordOf = (data, defense, attack) =>
  defense.records.find((record) => data.attacks[record.attack].name === attack);
