// Compares two defenses on the same examples: who alone gets an example right, and whether chance explains it.

// Returns the conclusion as a sentence, and its table; table is null if the two defenses are not comparable.
function comparison(data, first, second) {
  if (first === second) return { said: "Choose two different defenses.", table: null };
  if (first.examples !== second.examples || first.threat !== second.threat) {
    const said = `${first.name} (${first.setting}) and ${second.name} (${second.setting}) were not attacked on the same examples under the same threat model, so there is no paired test.`;
    return { said, table: null };
  }
  const rows = pairedRows(data, first, second);
  return { said: rows.map(conclusion)[1], table: scrolling("Table of the comparison", comparisonTable(first, second, rows), "tall") };
}

function pairedRows(data, first, second) {
  const shared = sharedAttacks(data, first, second);
  const all = (defense) => defense.records.map((record) => record.bits);
  return [
    ["clean", [first.clean_bits], [second.clean_bits]],
    [`worst case, ${plural(shared.length, "shared attack")}`, shared.map((s) => s.first.bits), shared.map((s) => s.second.bits)],
    [`worst case, all attacks (${first.records.length} and ${second.records.length})`, all(first), all(second)],
    ...shared.map((s) => [s.name, [s.first.bits], [s.second.bits]]),
  ].filter(([, a]) => a.length).map(([name, a, b]) => pairedRow(name, together(a), together(b), first.n));
}

function conclusion({ name, first, second, onlyFirst, onlySecond, p }) {
  const chance = p < 0.05 ? "more than chance explains" : "which may be chance";
  return `${name[0].toUpperCase()}${name.slice(1)}: A ${percent(first)}%, B ${percent(second)}%; only A is right on ${onlyFirst} examples, only B on ${onlySecond}, ${chance} (p ${p < 0.0001 ? "" : "= "}${pText(p)}).`;
}

function sharedAttacks(data, first, second) {
  const theirs = new Map(second.records.map((record) => [data.attacks[record.attack].name, record]));
  return first.records
    .map((record) => ({ name: data.attacks[record.attack].name, first: record }))
    .filter(({ name }) => theirs.has(name))
    .map((pair) => ({ ...pair, second: theirs.get(pair.name) }));
}

const together = (texts) => texts.map(unpack).reduce(both);

function pairedRow(name, a, b, n) {
  const [onlyFirst, onlySecond] = [ones(only(a, b)), ones(only(b, a))];
  const [x, y] = [(100 * ones(a)) / n, (100 * ones(b)) / n];
  return { name, first: x, second: y, onlyFirst, onlySecond, p: mcnemar(onlyFirst, onlySecond) };
}

function comparisonTable(first, second, rows) {
  const number = (title, value, cell) => ({ title, value, cell, numeric: true });
  const columns = [
    { title: "Under", value: (row) => row.name, cell: (row) => row.name },
    number("A (%)", (row) => row.first, (row) => percent(row.first)),
    number("B (%)", (row) => row.second, (row) => percent(row.second)),
    number("B − A (points)", (row) => row.second - row.first, (row) => signed(row.second - row.first)),
    number("Only A right", (row) => row.onlyFirst, (row) => count(row.onlyFirst)),
    number("Only B right", (row) => row.onlySecond, (row) => count(row.onlySecond)),
    number("p (exact McNemar)", (row) => row.p, (row) => (row.p < 0.05 ? el("strong", {}, pText(row.p)) : pText(row.p))),
  ];
  return sortableTable({
    caption: `A: ${labelOf(data, first)}; B: ${labelOf(data, second)}. ${first.setting}. Bold: p below 0.05.`,
    columns, rows, by: null, descending: false,
  }).element;
}
