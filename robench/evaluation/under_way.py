"""The attack that was interrupted, as an evaluation sees it: what fits, what it has spent, what to tell the user."""

from collections.abc import Collection

from robench.engine.checkpoint import Checkpoint
from robench.engine.saving import Checkpoints
from robench.evaluation.progress import Watcher
from robench.store import Header
from robench.store.raw import Chunks
from robench.store.under_way import UnderWay


def checkpoints_of(header: Header, chunks: Chunks, watcher: Watcher, search: str | None = None) -> Checkpoints:
    """Return the checkpoints of a record that is being computed.

    Args:
        header: the record's header, which names versions and device of this process.
        chunks: its finished chunks.
        watcher: hears of checkpoints that are made and used, and of those that do not fit.
        search: form of the network that the attack runs, if it is known.
    """
    name, spec = header.attack.name, header.attack

    def resumed(checkpoint: Checkpoint) -> None:
        watcher.resumed(name, checkpoint.share(spec), len(checkpoint.ids))

    made_with = {**header.versions, "device": header.device, **({"search": search} if search else {})}
    return Checkpoints(UnderWay(chunks), made_with, watcher.notice, lambda: watcher.saved(name), resumed)


def interrupted(header: Header, chunks: Chunks, watcher: Watcher, todo: Collection[int]) -> str:
    """Return the words of a forecast about the attack that was interrupted, or an empty text."""
    found = checkpoints_of(header, chunks, watcher).find(todo)
    return "" if found is None else f"{len(found.ids)} are {found.share(header.attack):.0%} done"
