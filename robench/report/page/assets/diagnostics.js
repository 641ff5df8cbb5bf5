// Draws every indicator of trust: its threshold, its highest measured value, and the attack that showed this value.

function diagnosticsSection(data, defense) {
  const { level, sentence } = data.trusts[defense.worst.trust];
  const rows = data.diagnostics.map((rule) => diagnosticRow(data, defense, rule));
  const heads = ["Indicator", "Highest value", "Limit", "Seen in", "Level if above", "What it says"];
  return [
    el("p", {}, trustBadge(level), " ", sentence.replace(`${level}: `, "") || "No diagnostic speaks against the worst case."),
    el("p", { class: "note" }, "A fault of a single attack (the indicators of one run) lowers the trust in the worst case only if every gradient attack has a fault."),
    el("div", { class: "wordy" }, scrolling("Table of diagnostics", plainTable("Indicators of trust", heads, rows, 2))),
  ];
}

function diagnosticRow(data, defense, rule) {
  const measured = defense.records.filter((record) => rule.name in record.diagnostics);
  const text = (value) => (rule.unit === "share" ? `${(100 * value).toFixed(1)}%` : `${value.toFixed(1)} points`).replace("-", "−");
  const end = [rule.level, rule.reason.replace("{value}", "…")];
  if (!measured.length) return [rule.name, "–", text(rule.above), "no run", ...end];
  const worst = measured.reduce((a, b) => (b.diagnostics[rule.name] > a.diagnostics[rule.name] ? b : a));
  const value = worst.diagnostics[rule.name];
  const flag = value > rule.above ? el("strong", {}, `${text(value)}, above`) : text(value);
  const same = measured.every((record) => record.diagnostics[rule.name] === value);
  return [rule.name, flag, text(rule.above), same ? "every run" : data.attacks[worst.attack].name, ...end];
}
