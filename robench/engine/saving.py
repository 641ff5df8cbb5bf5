"""Save the attack on a chunk now and then, and use or refuse the checkpoint that an interrupted run has left.

Steps are never cut: a step that takes minutes is lost as a whole. All of a published AutoAttack, which draws for its
whole batch, is one step.
"""

import math
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from torch import Tensor

from robench.algorithms import State
from robench.engine.checkpoint import Checkpoint, Position, Spent, UnfitError
from robench.errors import InputError
from robench.store.under_way import UnderWay

if TYPE_CHECKING:
    from robench.engine.loop import AttackRun

PACE = 20.0
"""Seconds between two checkpoints: at most 30 are lost if no step takes more than 10. Shorter attacks write none."""
SPARING = 20.0
"""Least ratio of the time between two checkpoints to the time that it takes to write one: at most 5% are spent so."""
UNUSED = "it is not used, and that part of the attack begins again"
"""End of the notice about a checkpoint that does not fit."""


class Checkpoints:
    """The one checkpoint of a record, while a process attacks its chunks one after another.

    A checkpoint that is damaged, or that another version or device made, is not used; nor is one whose examples are
    finished. If a checkpoint cannot be written, the attack goes on without it.

    Args:
        place: file of the checkpoint.
        made_with: versions, device and so on that must be the same when the attack goes on.
        notice: called with a sentence if a checkpoint is not used or cannot be written.
        on_saved: called after a checkpoint was written.
        on_resumed: called with the checkpoint when an attack goes on from it.

    Attributes:
        earlier: passes and seconds that interrupted runs spent on what this process goes on with.
    """

    def __init__(
        self,
        place: UnderWay,
        made_with: dict[str, str],
        notice: Callable[[str], None],
        on_saved: Callable[[], None] = lambda: None,
        on_resumed: Callable[[Checkpoint], None] = lambda _: None,
    ) -> None:
        self.place, self.made_with, self.notice = place, made_with, notice
        self.on_saved, self.on_resumed = on_saved, on_resumed
        self.writable = True
        self.found: Checkpoint | None = None
        self.earlier = Spent()

    def find(self, todo: Collection[int]) -> Checkpoint | None:
        """Return the checkpoint on disk if it fits and all its examples are among those that are to be attacked."""
        try:
            if (read := self.place.read()) is None:
                return None
            checkpoint = Checkpoint(*read)
            checkpoint.require_fit(self.made_with)
        except InputError as error:
            self.notice(f"{error}: {UNUSED}.")
        except UnfitError as error:
            self._refuse(error)
        else:
            self.found = checkpoint if set(checkpoint.ids) <= set(todo) else None
        return self.found

    def saver(self, ids: Tensor) -> "Saver":
        """Return the saver of the chunk with these ids, with the checkpoint that was found if it is this chunk's."""
        mine, self.found = self.found, None
        return Saver(self, ids, mine if mine and mine.ids == ids.tolist() else None)

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint in the place of the former one."""
        try:
            self.place.write(checkpoint.arrays, checkpoint.facts)
        except InputError as error:
            self.writable = False
            self.notice(f"no checkpoint is made, the attack goes on: {error}")
        else:
            self.on_saved()

    def restore(self, checkpoint: Checkpoint, run: "AttackRun") -> Position[Any] | None:
        """Put an attack where it was interrupted; if the checkpoint does not fit it, say why, and return None."""
        try:
            position = checkpoint.restore(run)
        except UnfitError as error:
            self._refuse(error)
            return None
        self.earlier = checkpoint.spent
        self.on_resumed(checkpoint)
        return position

    def remove(self) -> None:
        """Remove the checkpoint of a chunk that is finished."""
        self.place.remove()

    def _refuse(self, error: UnfitError) -> None:
        self.notice(f"checkpoint '{self.place.path}' {error}: {UNUSED}.")


class Saver:
    """Save the attack on one chunk now and then, between two steps.

    Attributes:
        earlier: seconds that earlier runs spent on the chunk.
    """

    def __init__(self, checkpoints: Checkpoints, ids: Tensor, checkpoint: Checkpoint | None) -> None:
        self.checkpoints, self.ids, self.checkpoint = checkpoints, ids, checkpoint
        self.earlier = 0.0
        self.begin = time.perf_counter()
        self.due = self.begin + PACE

    def restore(self, run: "AttackRun") -> Position[Any] | None:
        """Put the attack where it was interrupted; return the place, or None if it starts from the beginning."""
        if self.checkpoint is None:
            return None
        position = self.checkpoints.restore(self.checkpoint, run)
        self.earlier = self.checkpoints.earlier.seconds
        self.checkpoint = None  # its arrays may take gigabytes
        return position

    def between_steps(self, run: "AttackRun", restart: int, step: int, state: State) -> None:
        """Save the attack if it is time; `step` is the next step."""
        if (now := time.perf_counter()) >= self.due and self.checkpoints.writable:
            self._save(run, Position(restart, step, state), now)

    def _save(self, run: "AttackRun", position: Position[Any], now: float) -> None:
        seconds = round(self.earlier + now - self.begin, 3)
        checkpoint = Checkpoint.of(run, self.ids, position, seconds=seconds, made_with=self.checkpoints.made_with)
        if checkpoint is None:
            self.due = math.inf
            return
        self.checkpoints.write(checkpoint)
        end = time.perf_counter()
        self.due = end + max(PACE, SPARING * (end - now))
