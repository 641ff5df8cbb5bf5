"""The number that the leaderboard shows for a network, beside a fresh evaluation of it."""

from robench.paths import results_folders
from robench.report.groups import groups
from robench.report.selection import CurrentCatalogue
from robench.report.worst_case import worst_case
from robench.specs import is_registered
from robench.store import Record, read_file


def leaderboard_says(record: Record) -> str:
    """Return the published worst case in words, e.g. `leaderboard 73.15% (61 published attacks)`.

    It is empty if no published record has the network, examples, threat model, precision, target and mask of `record`.

    Raises:
        InputError: the published records are damaged.
    """
    header = record.header
    if not is_registered(header.model):
        return ""
    key = record.comparison_key._replace(seed=0)
    name = f"{header.model.rpartition('/')[2]}.jsonl"
    paths = [path for folder in results_folders() if (path := folder / header.dataset / name).is_file()]
    catalogue = CurrentCatalogue()
    alike = [
        each
        for path in paths
        for each in map(catalogue.renamed, read_file(path))
        if each.network == record.network and each.comparison_key._replace(seed=0) == key
    ]
    found = [mine for group in groups(alike, [header.model]) for mine in group.defenses.values()]
    if not found:
        return ""
    # As in the leaderboard: of groups that differ in the seed, the one with the most records, then the lowest seed.
    shown = max(found, key=lambda mine: (len(mine), -mine[0].header.seed))
    return f"leaderboard {worst_case(shown).robust_accuracy:.2f}% ({len(shown)} published attacks)"
