// Shows exactly what was run: every part of a record's identity, and the hash that names the record.

function specsSection(data, defense) {
  const choice = el("select", { id: "spec-choice" });
  const body = el("div", {});
  options(choice, defense.records.map((_, place) => `${place}`), defense.records.map((r) => data.attacks[r.attack].name));
  const show = () => body.replaceChildren(...specBody(data, defense.records[Number(choice.value)]));
  choice.addEventListener("input", show);
  show();
  return [el("p", { class: "controls" }, el("label", { for: "spec-choice" }, "Attack"), " ", choice), body];
}

// Returns the text whose SHA-256 is the record's hash.
function canonicalIdentity(data, record) {
  const parts = Object.entries(record.identity).map(([key, place]) => `${JSON.stringify(key)}:${data.texts[place]}`);
  return `{${parts.join(",")}}`;
}

function specBody(data, record) {
  const attack = data.attacks[record.attack], run = data.runs[record.run];
  const status = el("span", { role: "status" });
  const hash = el("input", { type: "text", id: "spec-hash", readonly: true, value: record.hash, size: 64 });
  const text = el("textarea", { id: "spec-text", readonly: true, rows: 8, spellcheck: "false" });
  text.value = canonicalIdentity(data, record);
  const facts = [
    ["Attack", attack.name],
    ["About", `${attack.about}. ${attack.cite}`],
    ["Points that count", attack.success === "last" ? "the last iterate only" : "all iterates"],
    ["Created", `${record.created}, robench ${run.versions.robench ?? "?"}, torch ${run.versions.torch ?? "?"}, ${run.device}`],
    ["Cost", `${plural(record.forwards, "forward")}, ${plural(record.backwards, "backward")}, ${record.seconds} s` +
      (record.derived_from ? `; read from the longer run ${record.derived_from.slice(0, 16)}` : "")],
    ["Refused by the judge", faultText(record)],
  ];
  return [
    el("dl", {}, facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
    el("p", {}, el("label", { for: "spec-hash" }, "Hash"), " ", hash, " ", copyButton("Copy the hash", hash, status)),
    el("p", {}, el("label", { for: "spec-text" }, "Canonical text: its SHA-256 is the hash"), el("br"), text, el("br"),
      copyButton("Copy the text", text, status), " ", status),
  ];
}

function faultText(record) {
  const faults = Object.entries(record.faults).map(([reason, number]) => `${number}x ${reason}`);
  return faults.length ? faults.join(", ") : "nothing";
}
