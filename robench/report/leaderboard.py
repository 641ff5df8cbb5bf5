"""The leaderboard: one row per defense and dataset, from published records only, highest worst case first."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
from safetensors import safe_open

from robench.errors import InputError
from robench.paths import write_text
from robench.report.corruptions import MCA
from robench.report.groups import groups
from robench.report.narrowing import Narrowing
from robench.report.robustness import (
    CLEAN,
    INCOMPLETE,
    INCOMPLETE_NOTE,
    TRUST,
    WORST,
    attack_names,
    cell,
    lacking_attacks,
)
from robench.report.selection import Selection, load
from robench.report.sweeps import Sweep, mca_on, sweeps
from robench.report.table import Table, csv_text, markdown
from robench.report.worst_case import worst_case
from robench.specs import find_card, is_registered
from robench.store import SHORT, ComparisonKey, Header, Record
from robench.store.log import LOG, read_log

HEADLINES = ("fgsm", "pgd-20", "pgd-500", "mim-20", "scaled-pgd-500", "adaptive-pgd-500", "autoattack", "cascade",
             "square")  # fmt: skip
"""Attacks that have a column; the worst case counts all published attacks."""
DATASET, DEFENSE, THREAT, EXAMPLES, ATTACKS = "dataset", "defense", "threat model", "examples", "attacks"
QUERIES, SECONDS, PARAMETERS, WEIGHTS, DATA = (
    "median queries (square)", "training s", "parameters", "weights", "data",
)  # fmt: skip
FEW = (THREAT, EXAMPLES, WORST, TRUST, ATTACKS, CLEAN, "pgd-20", "autoattack", "cascade", MCA, QUERIES, PARAMETERS)
"""The columns of the shorter table that fits a page."""
BEGIN, END = "<!-- leaderboard -->", "<!-- /leaderboard -->"
"""The two marks between which `results/README.md` holds the table."""


def leaderboard(results: str | Path | None = None, narrowing: Narrowing | None = None) -> Table:
    """Make the leaderboard of all defenses with published records; each row names its rank within its group.

    A group shares dataset, examples, threat model and precision. Of the groups that differ in the seed alone, one with
    fewer records is shown only if a defense stands in no larger one; `narrowing` chooses a seed.

    Columns: clean accuracy, headline attacks, the worst case of all published attacks with its interval and trust
    verdict, mCA, the median queries of Square, training time, parameters, and the shortened SHA-256 of weights and
    data.
    """
    table = Table(
        "Leaderboard: accuracy (%), highest worst case first",
        "rank",
        [DATASET, DEFENSE, THREAT, EXAMPLES, WORST, TRUST, ATTACKS, CLEAN, *HEADLINES, MCA, QUERIES, SECONDS,
         PARAMETERS, WEIGHTS, DATA],
    )  # fmt: skip
    folder = Path(results) if results is not None else None
    swept = sweeps(folder, published=True)
    records = load(folder, published=True)
    narrowing = (narrowing or Narrowing()).named(record.header.model for record in records)
    for heading, defenses in sorted(_rankings(records, narrowing).items()):
        attacks = attack_names(Selection(defenses, 0))
        worst = {name: worst_case(found).robust_accuracy for name, found in defenses.items()}
        for rank, name in enumerate(sorted(worst, key=lambda name: (-worst[name], name)), start=1):
            row = _row(defenses[name], swept.get(name, []))
            row[TRUST] += INCOMPLETE if lacking_attacks(attacks, defenses[name]) else ""
            table.add(f"{', '.join(heading)}: {rank}", row)
    table.notes = [
        "Worst case: an example counts only if it withstands every published attack; how many there are stands beside "
        "it. `check` and `broken` say that it is not to be quoted yet. Ranks are within one dataset, threat model and "
        "number of examples.",
        INCOMPLETE_NOTE,
        f"{MCA}: mean accuracy over fifteen generated or published corruptions at five severities.",
    ]
    return table


def _rankings(records: Sequence[Record], narrowing: Narrowing) -> dict[tuple[str, ...], dict[str, list[Record]]]:
    """Group the defenses that can be ranked together, by the parts of a heading: dataset, threat model, ..."""
    fitting = narrowing.of(records)
    by_dataset: dict[str, list[Record]] = {}
    for record in fitting:
        by_dataset.setdefault(record.header.dataset, []).append(record)
    names = list(narrowing.models) if narrowing.models else None
    found = [group for mine in by_dataset.values() for group in groups(mine, names)]
    best: dict[ComparisonKey, Selection] = {}
    seen: set[tuple[ComparisonKey, str]] = set()
    for group in sorted(found, key=_size, reverse=True):
        names_here = {(_key(group)._replace(seed=0), name) for name in group.defenses}
        if not names_here <= seen:
            best[_key(group)] = group
            seen |= names_here
    headings = {key: _heading(next(iter(group.defenses.values()))[0].header) for key, group in best.items()}
    times = Counter(headings.values())
    # Two sets of examples can have the same dataset and size; then each heading also names its set.
    return {
        (*headings[key], *([f"examples {key.data[:SHORT]}"] if times[headings[key]] > 1 else [])): group.defenses
        for key, group in best.items()
    }


def _key(group: Selection) -> ComparisonKey:
    return next(iter(group.defenses.values()))[0].comparison_key


def _size(group: Selection) -> tuple[int, int]:
    """Return the number of records, and the seed so that the lowest wins."""
    return sum(map(len, group.defenses.values())), -_key(group).seed


def _heading(header: Header) -> tuple[str, ...]:
    parts = header.dataset, header.goal, f"{header.n} examples", f"seed {header.seed}", header.precision
    return parts[:3] if (header.seed, header.precision) == (0, "fp32") else parts


def write_leaderboard(table: Table, out: Path, *, whole: bool = True) -> Iterator[Path]:
    """Write the CSV file and, if there is a README beside it, the table between its two marks; yield each path.

    A table of chosen records is not `whole`, and leaves the README as it is.

    Raises:
        InputError: the README lacks a mark.
    """
    write_text(out, csv_text(table))
    yield out
    readme = out.with_name("README.md")
    if whole and readme.is_file():
        text = readme.read_text(encoding="utf-8")
        if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
            raise InputError(f"'{readme}' must hold {BEGIN} and {END} once each, in this order: put them in.")
        before, _, rest = text.partition(BEGIN)
        write_text(readme, f"{before}{BEGIN}\n{markdown(short(table))}{END}{rest.partition(END)[2]}")
        yield readme


def short(table: Table) -> Table:
    """Return the columns that fit a page, one row per defense and group."""
    names = {rank: f"{row[DATASET]}/{row[DEFENSE]}" for rank, row in table.rows.items()}
    times = Counter(names.values())
    rows = {
        name if times[name] == 1 else f"{name} ({rank.rpartition(': ')[0]})": table.rows[rank]
        for rank, name in names.items()
    }
    return Table(table.title, DEFENSE, list(FEW), table.notes, rows)


def by_group(table: Table) -> list[Table]:
    """Return one table per group of defenses that are ranked together, with a heading if there are several."""
    found: dict[str, dict[str, Mapping[str, str]]] = {}
    for rank, row in table.rows.items():
        found.setdefault(rank.rpartition(": ")[0], {})[rank] = row
    return [
        replace(table, title=f"{table.title}: {heading}" if len(found) > 1 else table.title, rows=rows)
        for heading, rows in found.items()
    ]


def _row(records: list[Record], swept: list[Sweep]) -> dict[str, str]:
    header, worst = records[0].header, worst_case(records)
    dataset, _, name = header.model.rpartition("/")
    by_attack = {record.header.attack.name: record for record in records}
    row = {
        DATASET: header.dataset,
        DEFENSE: header.model if dataset != header.dataset else name,
        THREAT: header.goal,
        EXAMPLES: str(header.n),
        WORST: cell(worst.robust_accuracy, worst.interval),
        TRUST: worst.trust.level,
        ATTACKS: str(len(records)),
        CLEAN: cell(records[0].clean_accuracy),
        WEIGHTS: header.identity["model"].get("weights", "")[:SHORT],
        DATA: header.identity["data"].get("sha256", "")[:SHORT],
    }
    row |= {attack: cell(by_attack[attack].robust_accuracy) for attack in HEADLINES if attack in by_attack}
    if (mca := mca_on(records[0].comparison_key.data, swept)) is not None:
        row[MCA] = cell(mca)
    if (square := by_attack.get("square")) is not None and square.queries is not None:
        asked = square.queries[square.clean & ~square.robust]
        row |= {QUERIES: f"{np.median(asked):.0f}"} if len(asked) else {}
    return row | _training(header.model)


def _training(model: str) -> dict[str, str]:
    """Return the training time and the number of parameters of a registered defense, as far as they are known."""
    if not is_registered(model):
        return {}
    card, row = find_card(model), {}
    if (card.folder / LOG).is_file():
        row[SECONDS] = f"{sum(epoch.seconds for epoch in read_log(card.folder / LOG)):.1f}"
    if card.weights.is_file():
        with safe_open(card.weights, framework="numpy") as file:
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118 - `file` is not a mapping
        row[PARAMETERS] = str(sum(prod(shape) for key, shape in shapes.items() if not _is_statistic(key)))
    return row


def _is_statistic(key: str) -> bool:
    """Tell whether a tensor is a running statistic of batch norm, which is not a trained parameter."""
    return key.endswith(("running_mean", "running_var", "num_batches_tracked"))
