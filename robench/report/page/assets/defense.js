// Draws everything about one defense.

const AT_STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500];
const AT_QUERIES = [10, 100, 500, 1000, 2000, 5000, 10000, 20000];

function defenseBody(data, defense) {
  const parts = [
    ["attacks", "Attacks", attackTable(data, defense)],
    ["curves", "Accuracy against steps, queries and eps", curvesSection(defense)],
    ["gallery", "Gallery", gallerySection(defense)],
    ["corruptions", "Common corruptions", corruptionSection(defense)],
    ["transfer", "Transfer", transferSection(data, defense)],
    ["diagnostics", "Diagnostics", diagnosticsSection(data, defense)],
    ["specs", "Specs and hashes", specsSection(data, defense)],
  ];
  return [
    ...defenseSummary(data, defense),
    el("nav", { "aria-label": "Parts of this defense" },
      el("ul", {}, parts.map(([id, title]) => el("li", {}, el("a", { href: `#${id}` }, title))))),
    ...parts.map(([id, title, content]) =>
      el("section", { id, "aria-labelledby": `${id}-title` }, el("h3", { id: `${id}-title`, tabindex: "-1" }, title), content)),
  ];
}

function defenseSummary(data, defense) {
  const { worst } = defense;
  const facts = [
    ["Worst case", `${percent(worst.accuracy)}%`],
    ["95% interval", interval(worst)],
    ["Clean", `${percent(defense.clean)}%`],
    ["Attacks", `${defense.records.length}`],
  ];
  const missing = defense.missing.map((attack) => ` --attack ${attack}`).join("");
  return [
    el("p", {}, el("strong", {}, defense.name), defense.about ? `: ${defense.about}.` : "", ` ${defense.setting}.`),
    el("dl", { class: "facts" },
      facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
      el("div", {}, el("dt", {}, "Trust"), el("dd", {}, trustBadge(trustOf(data, defense))))),
    missing
      ? el("p", { class: "note" }, "Some attacks that other defenses have are missing, so this worst case is not comparable with theirs: run ",
        el("code", {}, `robench eval --model ${defense.name}${missing}`), ".")
      : null,
  ].filter(Boolean);
}

function attackTable(data, defense) {
  const spec = (record) => data.attacks[record.attack];
  const number = (title, value, cell = (record) => count(value(record))) => ({ title, value, cell, numeric: true });
  const columns = [
    { title: "Attack", value: (record) => spec(record).name, cell: (record) => spec(record).name },
    number("Robust", (record) => record.accuracy, (record) => percent(record.accuracy)),
    number("95% interval", (record) => record.low, interval),
    {
      title: "Trust (this attack)",
      value: (record) => Object.keys(MARKS).indexOf(data.trusts[record.trust].level),
      cell: (record) => trustBadge(data.trusts[record.trust].level),
    },
    { title: "Access", value: (record) => spec(record).access, cell: (record) => spec(record).access },
    number("Steps", (record) => spec(record).steps),
    number("Forwards", (record) => record.forwards),
    number("Backwards", (record) => record.backwards),
  ];
  const table = sortableTable({
    caption: "Robust accuracy (%) under each attack", columns, rows: defense.records, by: 1, descending: false,
  });
  return [
    scrolling("Table of attacks", table.element, "tall"),
    el("p", { class: "note" }, "An attack with 0 forwards was not run by itself: its verdicts were read from a longer run."),
  ];
}

function curvesSection(defense) {
  const { steps, queries, eps } = defense.curves;
  const command = (text) => el("code", {}, `robench eval --model ${defense.name} ${text}`);
  const until = (at, curves) => at.filter((x) => curves.some((curve) => curve.points.at(-1)[0] >= x));
  return [
    steps.length
      ? chart({ title: "Robust accuracy (%) against steps", xLabel: "steps", curves: steps, stepped: true, at: until(AT_STEPS, steps), written: count })
      : el("p", {}, "No stored attack shows the accuracy after fewer steps: run ", command("--attack pgd-500"), "."),
    queries.length
      ? chart({ title: "Robust accuracy (%) against queries", xLabel: "queries of one example", curves: queries, stepped: true,
        at: until(AT_QUERIES, queries), written: count })
      : el("p", {}, "No stored attack counts its queries: run ", command("--battery blackbox"), "."),
    eps.length ? epsChart(eps) : el("p", {}, "Only one eps is stored. For a curve, run an attack at other values: ", command("--attack cascade --eps EPS"), "."),
  ];
}

function epsChart(curves) {
  const texts = new Map(curves.flatMap((curve) => curve.points.map(([x], place) => [x, curve.written[place]])));
  const at = [...texts.keys()].sort((a, b) => a - b);
  return chart({ title: "Robust accuracy (%) against eps", xLabel: "eps", curves, stepped: false, at, written: (x) => texts.get(x) });
}
