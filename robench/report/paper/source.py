"""What is stored of one dataset's defenses, by the names that the paper's tables use."""

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from robench.data import DATASETS
from robench.paths import default_results, results_folders
from robench.report.selection import CurrentCatalogue, load, of_current_weights, select
from robench.report.sweeps import Sweep, sweeps
from robench.specs import Card, find_attack, find_card, list_attacks, list_models
from robench.store import ComparisonKey, Record, read_file

DERIVED = "derived"
"""The folder of records of defenses that are no registered ones but variants of them."""


class VerdictSource:
    """Verdicts by defense and attack; what is asked for and not there is remembered.

    Args:
        dataset: whose defenses.
        results: where records are kept; by default the default folder, and those that robench ships.
        published: leave raw records out, as in a clean clone.

    Attributes:
        missing: attacks by defense that were asked for and are not stored.
    """

    def __init__(self, dataset: str, results: Path | None = None, *, published: bool = False) -> None:
        self.dataset, self.results, self.published = dataset, results, published
        self.missing: dict[str, list[str]] = {}

    def record(self, defense: str, attack: str) -> Record | None:
        """The verdicts under an attack, if need be the beginning of a longer one."""
        records = self.records(defense)
        found = records.get(attack)
        if found is None or found not in self._catalogue:
            found = _beginning(attack, records.values())
        if found is None:
            self.missing.setdefault(defense, []).append(attack)
        return found

    def records(self, defense: str) -> dict[str, Record]:
        """All that are stored of a defense, by attack."""
        registered = self._registered.get(f"{self.dataset}/{defense}", ())
        return {record.header.attack.name: record for record in registered} or self._derived.get(defense, {})

    def card(self, defense: str) -> Card | None:
        """A registered defense's card."""
        name = f"{self.dataset}/{defense}"
        return find_card(name) if name in list_models() else None

    @cached_property
    def sweeps(self) -> dict[str, list[Sweep]]:
        """Sweeps over corruptions of each defense that has any, in the order of the catalogue."""
        found = sweeps(self.results, published=self.published)
        mine = {name: [each for each in every if each.head.dataset == self.dataset] for name, every in found.items()}
        return {name.rpartition("/")[2]: every for name, every in mine.items() if every}

    def setting(self) -> str:
        """What our numbers were measured on, one sentence."""
        for records in (*self._registered.values(), *(list(found.values()) for found in self._derived.values())):
            header = records[0].header
            network = header.identity["model"].get("architecture", {}).get("name", "unknown network")
            return f"Ours: {self.dataset}, {network}, {header.threat}, {header.n} examples."
        return f"Ours: {self.dataset}."

    def fill(self) -> Iterable[str]:
        """How to fill what was missing, one sentence a set of attacks."""
        shared: dict[tuple[str, ...], list[str]] = {}
        for defense, attacks in self.missing.items():
            shared.setdefault(tuple(dict.fromkeys(attacks)), []).append(defense)
        for lacking, defenses in shared.items():
            models = " ".join(f"--model {self.dataset}/{name}" for name in defenses)
            asked = " ".join(f"--attack {name}" for name in lacking)
            yield f"To fill the empty cells: `robench eval {models} {asked}{self._options}`."

    @property
    def _options(self) -> str:
        """Of `robench eval`, with which fresh records stand beside the stored ones."""
        said: list[str] = []
        known = DATASETS.get(self.dataset)
        for records in self._registered.values():
            threat = records[0].header.threat
            usual = known.threat if known else None
            if usual is None or (threat.norm, threat.eps) != (usual.norm, usual.eps):
                said.append(f"--norm {threat.norm} --eps {threat.text}")
            break
        if self.results not in (None, default_results()) and not self.published:  # committed tables lie anywhere
            said.append(f"--results {self.results}")
        return "".join(f" {each}" for each in said)

    @cached_property
    def _registered(self) -> dict[str, list[Record]]:
        return select(record for record in self._records if record.comparison_key == self._usual).defenses

    @cached_property
    def _catalogue(self) -> CurrentCatalogue:
        return CurrentCatalogue()

    @cached_property
    def _records(self) -> list[Record]:
        everything = load(self.results, published=self.published)
        return [record for record in everything if record.header.dataset == self.dataset]

    @cached_property
    def _usual(self) -> ComparisonKey | None:
        """What all numbers of a table share: examples, threat model (the usual one if it is there), seed, precision."""
        mine = [record for found in of_current_weights(self._records).values() for record in found]
        keys = Counter(record.comparison_key for record in mine)
        sizes = {record.comparison_key: record.header.n for record in mine}
        known = DATASETS.get(self.dataset)
        usual = (known.threat.norm, known.threat.eps) if known and known.threat else None
        return max(keys, key=lambda key: ((key.norm, key.eps) == usual, sizes[key], keys[key]), default=None)

    @cached_property
    def _derived(self) -> dict[str, dict[str, Record]]:
        found: dict[str, dict[str, Record]] = {}
        for folder in results_folders(self.results):
            for path in sorted((folder / self.dataset / DERIVED).glob("[!.]*.jsonl")):
                mine = [record for record in read_file(path) if self._usual in (None, record.comparison_key)]
                if mine:
                    found[path.stem] = {record.header.attack.name: record for record in mine}
        return found


def _beginning(attack: str, records: Iterable[Record]) -> Record | None:
    """The verdicts after a declared attack's steps, cut from a longer run of it."""
    if attack not in list_attacks():  # crafted on a substitute, or within a budget
        return None
    wanted = find_attack(attack)

    def longer(record: Record) -> bool:
        spec = record.header.attack
        same = spec.family_identity() == wanted.family_identity() and wanted.is_prefix_closed
        return same and record.header.has_curve and spec.steps >= wanted.steps

    longest = min(filter(longer, records), key=lambda record: record.header.attack.steps, default=None)
    if longest is None:
        return None
    cut = longest.after(wanted.steps)
    header = longest.header.model_copy(update={"attack": wanted})
    return Record(header, cut.clean, cut.robust, cut.step, queries=cut.queries)
