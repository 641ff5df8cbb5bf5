"""The six main defenses with three training seeds: means, deviations, and paired tests whether HE helps."""

from collections.abc import Iterator
from statistics import mean, stdev

from robench.numerics.stats import mcnemar
from robench.report.paper.source import VerdictSource
from robench.report.paper.training import values_of
from robench.report.paper.view import View, accuracy
from robench.report.robustness import CLEAN, WORST
from robench.report.table import Table, p_text
from robench.store import Column, robust_to_all

BASES = ("pgdat", "alp", "trades")
MAIN = tuple(name for base in BASES for name in (base, f"{base}_he"))
SEEDS = (0, 1, 2)
RAW = "pgd-20"
ATTACKS = (RAW, "cw-linf-20", "pgd-100", "scaled-pgd-100", "adaptive-pgd-100", "cascade-1")
MAKE = "To fill the empty cells: `robench reproduce seeds`."


def seeded(source: VerdictSource, defense: str, seed: int) -> str:
    """Return the name of the defense trained with a seed: the registered defense, or one derived from it."""
    card = source.card(defense)
    recipe = card.recipe if card else None
    return defense if recipe is not None and seed == recipe.seed else f"{defense}-seed{seed}"


def seeds(source: VerdictSource, view: View) -> Table:
    """Mean and standard deviation over three training seeds."""
    names = (CLEAN, RAW, WORST)
    table = Table("Three training seeds: mean ± standard deviation (%)", "defense", list(names), graded=names)
    for defense in MAIN:
        runs = [values_of(source, seeded(source, defense, seed), ATTACKS) for seed in SEEDS]
        cells = {}
        if all(runs):
            values = {name: [accuracy(run[name]) for run in runs] for name in names}
            cells = {name: f"{mean(found):.2f} ± {stdev(found):.2f}" for name, found in values.items()}
        table.add(defense, cells)
    said = f"Worst case of {', '.join(ATTACKS)}. Training seeds {', '.join(map(str, SEEDS))}."
    table.notes = [source.setting(), said, *([MAKE] if source.missing else [])]
    return table


def paired(source: VerdictSource, view: View) -> Table:
    """HE against its base, paired by example."""
    table = Table(
        "Does hypersphere embedding help? Paired by example (exact McNemar test)",
        "comparison",
        ["seed", f"{RAW} difference", f"{RAW} p", "worst-case difference", "worst-case p"],
    )
    for base in BASES:
        for seed in SEEDS:
            table.add(f"{base}_he against {base}, seed {seed}", {"seed": str(seed), **dict(_tests(source, base, seed))})
    table.notes = [
        source.setting(),
        "Difference in points, HE minus base; positive means that HE helps. p is two-sided and not corrected for the "
        "number of comparisons.",
        *([MAKE] if source.missing else []),
    ]
    return table


def _tests(source: VerdictSource, base: str, seed: int) -> Iterator[tuple[str, str]]:
    for name, attacks in ((RAW, (RAW,)), ("worst-case", ATTACKS)):
        plain, he = (_robust(source, seeded(source, each, seed), attacks) for each in (base, f"{base}_he"))
        if plain is not None and he is not None:
            difference, p = compare(plain, he)
            yield f"{name} difference", f"{difference:+.2f}"
            yield f"{name} p", p_text(p)


def _robust(source: VerdictSource, defense: str, attacks: tuple[str, ...]) -> Column | None:
    """Return which examples withstand all of some attacks, bool (N,); None if the record of an attack is missing."""
    records = [source.record(defense, attack) for attack in attacks]
    found = [record for record in records if record is not None]
    return robust_to_all(found) if len(found) == len(records) else None


def compare(plain: Column, he: Column) -> tuple[float, float]:
    """Return the difference HE minus plain in points and its two-sided p value, from verdicts, bool (N,)."""
    only_he, only_plain = int((he & ~plain).sum()), int((plain & ~he).sum())
    return 100.0 * (only_he - only_plain) / len(plain), mcnemar(only_he, only_plain)
