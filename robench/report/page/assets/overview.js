// Draws worst case, interval and trust of each defense, in one table per setting.

const FIRST = 40; // rows shown until the reader asks for all

function showOverview(data) {
  const levels = Object.keys(MARKS).map((level) => [level, data.defenses.filter((d) => trustOf(data, d) === level).length]);
  const told = levels.filter(([, number]) => number).map(([level, number]) => `${number} ${level === "-" ? "not measured" : level}`);
  const verdicts = data.defenses.reduce((total, defense) => total + defense.records.length, 0);
  byId("summary").textContent = [
    `${plural(new Set(data.defenses.map((d) => d.name)).size, "defense")}, ${plural(data.attack_names.length, "attack")}, ${plural(verdicts, "record")}.`,
    `Worst cases: ${told.join(", ")}.`,
    data.left_out ? `Left out: ${plural(data.left_out, "record")} of other weights or attacks.` : "",
    data.unshown ? `Defenses not shown: ${data.unshown}; name them with --model.` : "",
  ].join(" ");
  for (const [setting, defenses] of grouped(data.defenses, (defense) => defense.setting)) {
    byId("overview-tables").append(...settingTable(data, setting, defenses));
  }
}

const trustOf = (data, defense) => data.trusts[defense.worst.trust].level;

function grouped(values, key) {
  const groups = new Map();
  for (const value of values) groups.set(key(value), [...(groups.get(key(value)) ?? []), value]);
  return groups;
}

function settingTable(data, setting, defenses) {
  const ranked = [...defenses].sort((a, b) => b.worst.accuracy - a.worst.accuracy);
  const body = el("tbody", {}, ranked.slice(0, FIRST).map((defense) => overviewRow(data, defense)));
  const heads = ["Defense", "Worst case", "95% interval", "From 0 to 100%", "Trust"];
  const top = heads.map((each, place) => el("th", { scope: "col", class: [null, "number", "number", "ruler", null][place] }, each));
  const caption = el("caption", {}, `${setting}: robust accuracy in the worst case, highest first`);
  const table = el("table", { class: "overview" }, caption, el("thead", {}, el("tr", {}, top)), body);
  const notes = [scrolling(setting, table)];
  if (ranked.length > FIRST) {
    const more = () => { body.append(...ranked.slice(FIRST).map((defense) => overviewRow(data, defense))); button.remove(); };
    const button = el("button", { type: "button", click: more }, `Show all ${ranked.length}`);
    notes.push(el("p", {}, button));
  }
  if (ranked.some((defense) => defense.missing.length)) {
    notes.push(el("p", { class: "note" }, "* Some attacks that other defenses have are missing: this worst case is not comparable with theirs."));
  }
  return notes;
}

function overviewRow(data, defense) {
  const { worst } = defense;
  return el("tr", {},
    el("th", { scope: "row" }, defenseLink(defense, shortName(defense.name))),
    el("td", { class: "number" }, percent(worst.accuracy)),
    el("td", { class: "number" }, interval(worst)),
    el("td", { class: "ruler" }, whisker(worst)),
    el("td", { class: "whole" }, trustBadge(trustOf(data, defense)), incomplete(defense)),
  );
}

function defenseLink(defense, text = defense.name) {
  return el("a", { href: `#defense=${encodeURIComponent(defense.key)}` }, text);
}

function incomplete(defense) {
  if (!defense.missing.length) return null;
  return el("span", {}, el("span", { "aria-hidden": "true" }, " *"), el("span", { class: "unseen" }, " attacks missing"));
}

// Draws the accuracy as a bar and the interval as a whisker; the same numbers stand in the cells beside them.
function whisker(estimate) {
  const line = (name, d) => svg("path", { class: name, d, "vector-effect": "non-scaling-stroke" });
  return svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    line("rule", "M0 9.5H100M0 8V10M25 8V10M50 8V10M75 8V10M100 8V10"),
    line("bar", `M0 2.5H${estimate.accuracy}V6.5H0Z`),
    line("whisker", `M${estimate.low} 4.5H${estimate.high}M${estimate.low} 2V7M${estimate.high} 2V7`),
  );
}
