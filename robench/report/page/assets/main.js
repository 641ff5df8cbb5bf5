// Starts the page, and writes what the reader chooses into the address: #defense=NAME, #compare=NAME,NAME.

const data = JSON.parse(byId("data").textContent);
const named = (key) => data.defenses.find((defense) => defense.key === key);
const keys = data.defenses.map((defense) => defense.key);
const labels = data.defenses.map((defense) => labelOf(data, defense));
const choices = { defense: byId("defense-choice"), first: byId("first-choice"), second: byId("second-choice") };

function showDefense(key) {
  choices.defense.value = key;
  byId("defense-body").replaceChildren(...defenseBody(data, named(key)));
}

function showComparison(first, second) {
  choices.first.value = first;
  choices.second.value = second;
  const { said, table } = comparison(data, named(first), named(second));
  byId("compare-status").textContent = said;
  byId("compare-body").replaceChildren(...(table ? [table] : []));
}

// Follows a link into the page; does nothing if the link names an unknown defense.
function follow() {
  const [section, value] = [...new URLSearchParams(location.hash.slice(1))][0] ?? [""];
  const wanted = value ? value.split(",").map(named) : [];
  if (!wanted.every(Boolean)) return;
  if (section === "defense" && wanted.length === 1) showDefense(wanted[0].key);
  if (section === "compare" && wanted.length === 2) showComparison(wanted[0].key, wanted[1].key);
  byId(`${section}-title`)?.scrollIntoView();
  byId(`${section}-title`)?.focus({ preventScroll: true });
}

function remember(section, ...chosen) {
  history.replaceState(null, "", `#${section}=${chosen.map(encodeURIComponent).join(",")}`);
}

const THEMES = { "": "as the system", light: "light", dark: "dark" };

function nextTheme() {
  const order = Object.keys(THEMES);
  const next = order[(order.indexOf(document.documentElement.dataset.theme ?? "") + 1) % order.length];
  document.documentElement.dataset.theme = next;
  byId("theme").textContent = `Colours: ${THEMES[next]}`;
}

function start() {
  for (const select of Object.values(choices)) options(select, keys, labels);
  showOverview(data);
  showLeaderboard(data);
  const [best, next = best] = data.defenses.filter((d) => d.setting === data.defenses[0].setting).sort((a, b) => b.worst.accuracy - a.worst.accuracy);
  showDefense(best.key);
  showComparison(best.key, next.key);
  choices.defense.addEventListener("input", () => {
    showDefense(choices.defense.value);
    remember("defense", choices.defense.value);
  });
  for (const select of [choices.first, choices.second]) {
    select.addEventListener("input", () => {
      showComparison(choices.first.value, choices.second.value);
      remember("compare", choices.first.value, choices.second.value);
    });
  }
  byId("theme").addEventListener("click", nextTheme);
  addEventListener("hashchange", follow);
  follow();
  document.documentElement.dataset.ready = "true";
}

start();
