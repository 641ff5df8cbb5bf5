"""The stored verdicts of one dataset's defenses, by the names that the paper's tables use."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from robench.data import DATASETS
from robench.paths import default_results, results_folders
from robench.report.narrowing import Narrowing
from robench.report.paper.published import PaperSetting
from robench.report.selection import CurrentCatalogue, load, of_current_weights, select
from robench.report.sweeps import Sweep, common, comparable, sweeps
from robench.specs import Card, find_attack, find_card, fraction, is_registered, list_attacks
from robench.store import ComparisonKey, Record, read_file

DERIVED = "derived"
"""The folder of the records of variants of registered defenses."""


class VerdictSource:
    """The stored verdicts by defense and attack; it remembers requests for records that are not stored.

    Args:
        dataset: the dataset of the defenses.
        results: a results folder; by default the default folder and the records that robench ships.
        published: leave raw records out, as in a clean clone.
        narrowing: the norm, eps and seed that are shown; by default the dataset's usual ones if they are stored.

    Attributes:
        missing: attacks that were requested but are not stored, by defense.
    """

    def __init__(
        self,
        dataset: str,
        results: Path | None = None,
        *,
        published: bool = False,
        narrowing: Narrowing | None = None,
    ) -> None:
        self.dataset, self.results, self.published = dataset, results, published
        self.narrowing = replace(narrowing or Narrowing(), dataset=dataset)
        self.missing: dict[str, list[str]] = {}

    def record(self, defense: str, attack: str) -> Record | None:
        """Return the record of an attack, or the beginning of a longer run; if there is none, None."""
        records = self.records(defense)
        found = records.get(attack)
        if found is None or found not in self._catalogue:
            found = _beginning(attack, records.values())
        if found is None:
            self.missing.setdefault(defense, []).append(attack)
        return found

    def records(self, defense: str) -> dict[str, Record]:
        """Return all stored records of a defense, by attack."""
        registered = self._registered.get(f"{self.dataset}/{defense}", ())
        return {record.header.attack.name: record for record in registered} or self._derived.get(defense, {})

    def card(self, defense: str) -> Card | None:
        """Return the card of a registered defense; for other defenses None."""
        name = f"{self.dataset}/{defense}"
        return find_card(name) if is_registered(name) else None

    @cached_property
    def sweeps(self) -> dict[str, list[Sweep]]:
        """The sweeps over corruptions by defense, in the order of the catalogue."""
        found = sweeps(self.results, published=self.published)
        mine = {name: [each for each in every if each.head.dataset == self.dataset] for name, every in found.items()}
        return {name.rpartition("/")[2]: every for name, every in mine.items() if every}

    def setting(self) -> str:
        """Return one sentence on the setting of our numbers."""
        for records in (*self._registered.values(), *(list(found.values()) for found in self._derived.values())):
            header = records[0].header
            network = header.identity["model"].get("architecture", {}).get("name", "unknown network")
            return f"Ours: {self.dataset}, {network}, {header.threat}, {header.n} examples."
        return f"Ours: {self.dataset}."

    def agrees(self, paper: PaperSetting) -> bool:
        """Return whether published numbers are of the dataset, norm and eps of ours."""
        if paper.dataset != self.dataset:
            return False
        if not paper.eps:
            shown, _ = comparable(common(self.sweeps))
            return all(sweep.head.origin == "published" for sweep in shown.values())
        key = self._usual
        return key is not None and (key.norm, key.eps) == (paper.norm, fraction(paper.eps))

    def fill(self) -> Iterable[str]:
        """Yield the commands that fill the missing cells, one sentence per set of attacks."""
        shared: dict[tuple[str, ...], list[str]] = {}
        for defense, missing in self.missing.items():
            shared.setdefault(tuple(dict.fromkeys(missing)), []).append(defense)
        for lacking, defenses in shared.items():
            models = " ".join(f"--model {self.dataset}/{name}" for name in defenses)
            attacks = " ".join(f"--attack {name}" for name in lacking)
            yield f"To fill the empty cells: `robench eval {models} {attacks}{self._options}`."

    @property
    def _options(self) -> str:
        """The options of `robench eval` that make fresh records comparable with the stored ones."""
        said: list[str] = []
        known = DATASETS.get(self.dataset)
        for records in self._registered.values():
            threat = records[0].header.threat
            usual = known.threat if known else None
            if usual is None or (threat.norm, threat.eps) != (usual.norm, usual.eps):
                said.append(f"--norm {threat.norm} --eps {threat.text}")
            break
        if self.results not in (None, default_results()) and not self.published:  # committed tables name no folder
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
        mine = [each for each in everything if each.header.dataset == self.dataset]
        return self.narrowing.of([each for each in mine if not each.header.target and not each.header.mask])

    @cached_property
    def _usual(self) -> ComparisonKey | None:
        """The comparison key of all numbers of a table: with the dataset's usual threat model if it is stored."""
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
                every = map(self._catalogue.renamed, read_file(path))
                mine = [record for record in every if self._usual in (None, record.comparison_key)]
                if mine:
                    found[path.stem] = {record.header.attack.name: record for record in mine}
        return found


def _beginning(attack: str, records: Iterable[Record]) -> Record | None:
    """Return the record of a declared attack as the beginning of a longer run of the same family, or None."""
    if attack not in list_attacks():  # an attack with substitutes or a budget
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
