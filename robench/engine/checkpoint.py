"""A checkpoint of the attack on one chunk: what is saved between two steps, and how the attack goes on from there.

Everything that changes during an attack is saved: the algorithm's state, the results so far, the oracle's counts and
memories, the judge's passes, the seconds. What can be made again from the job and the chunk is not. Random numbers
need no state, because they are keyed by restart and step, so an attack that goes on ends with the rows of an
undisturbed one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from robench.algorithms import State, state_class
from robench.specs import AttackSpec
from robench.store import Column

if TYPE_CHECKING:
    from robench.engine.loop import AttackRun

FORMAT = 1
"""Number of the checkpoints' form, raised when a change makes older ones unreadable."""
ORACLE = ("forwards", "backwards", "first", "nearest", "missed_success")
TALLIES = ("slopes", "flat", "external")
"""Attributes of an oracle that last: one value for each example, and one for all."""
LASTING = ("final_points", "margin_at_75pct")
"""Tensors of an attack run that last from step to step."""
FACTS = {"made_with", "restart", "step", "seconds", "judge_forwards", "claims", "faults", "strides", *TALLIES}
"""Keys of the facts that a checkpoint holds, apart from its form."""
KINDS = {
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.float16, torch.float32, torch.float64,
}  # fmt: skip
"""Types of numbers that can be saved."""

StateT = TypeVar("StateT", bound=State)


class UnfitError(ValueError):
    """A checkpoint that the attack cannot go on from; the message says why."""


@dataclass(frozen=True)
class Position(Generic[StateT]):
    """The place in an attack between two steps: the restart, the next step, and the algorithm's state before it."""

    restart: int
    step: int
    state: StateT


class Spent(NamedTuple):
    """Passes and seconds."""

    forwards: int = 0
    backwards: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """An attack on a chunk between two steps.

    Attributes:
        arrays: values of all tensors by name; the part of a name before the dot tells whose tensor it is.
        facts: everything else.
    """

    arrays: dict[str, Column]
    facts: dict[str, Any]

    @classmethod
    def of(cls, run: "AttackRun", ids: Tensor, position: Position[Any], **facts: Any) -> "Checkpoint | None":
        """Make a checkpoint of an attack between two steps.

        Args:
            run: the attack.
            ids: ids of the chunk's examples, also of those that are not attacked.
            position: the place between two steps.
            facts: the facts that the attack does not know.

        Returns:
            The checkpoint; None if the states of a user's algorithm are of another kind than the interface asks for.
        """
        state = vars(position.state)
        tensors = {f"state.{each.name}": state[each.name] for each in fields(position.state)}
        tensors |= {**_lasting(run), "chunk.ids": ids, "run.ids": run.chunk.ids}
        if type(position.state) is not state_class(run.algorithm) or not all(map(_can_be_saved, tensors.values())):
            return None
        found = {
            "format": FORMAT,
            "restart": position.restart,
            "step": position.step,
            "judge_forwards": run.judge.forwards,
            "claims": run.claims,
            "faults": dict(run.attack_state.faults),
            **{name: getattr(run.oracle, name) for name in TALLIES},
            "strides": {name: strides for name, tensor in tensors.items() if (strides := _strides(tensor))},
        }
        return cls({name: _values(tensor) for name, tensor in tensors.items()}, {**found, **facts})

    @cached_property
    def ids(self) -> list[int]:
        """Ids of the chunk's examples in their order, also of those that are not attacked."""
        ids: list[int] = self.arrays["chunk.ids"].tolist()
        return ids

    @property
    def spent(self) -> Spent:
        """Passes and seconds spent so far."""
        forwards, backwards = (int(self.arrays[f"oracle.{name}"].sum()) for name in ("forwards", "backwards"))
        return Spent(forwards, backwards, self.facts["seconds"])

    def share(self, spec: AttackSpec) -> float:
        """Return the share of the attack's steps that are done."""
        done: int = self.facts["restart"] * spec.steps + self.facts["step"]
        return done / (spec.restarts * spec.steps)

    def require_fit(self, made_with: dict[str, str]) -> None:
        """Check that the checkpoint was made in the same circumstances.

        Raises:
            UnfitError: it has another form, or another version or device made it.
        """
        if self.facts.get("format") != FORMAT or not self.facts.keys() >= FACTS or "chunk.ids" not in self.arrays:
            raise UnfitError("is of another version of robench")
        before = self.facts["made_with"]
        for name, value in made_with.items():
            if before.get(name) != value:
                raise UnfitError(f"was made with {name} {before.get(name)}, now it is {value}")

    def restore(self, run: "AttackRun") -> Position[Any]:
        """Put an attack that has not begun where it was when the checkpoint was made; return the place.

        Raises:
            UnfitError: the checkpoint belongs to other examples or another algorithm; the attack is as it was.
        """
        if self.arrays["run.ids"].tolist() != run.chunk.ids.tolist():
            raise UnfitError("belongs to other examples, or the network classifies them differently now")
        kind, device = state_class(run.algorithm), run.chunk.x.device
        strides = self.facts["strides"]
        tensors = {name: _restored(array, strides.get(name), device) for name, array in self.arrays.items()}
        lasting = _lasting(run)
        if any(name not in tensors or not _alike(tensors[name], now) for name, now in lasting.items()):
            raise UnfitError("does not have the parts that the attack needs")
        then = replace(run.attack_state, broken=tensors["results.broken"], right=tensors.get("results.right"))
        active = int((~then.left).sum())
        state = {name.removeprefix("state."): each for name, each in tensors.items() if name.startswith("state.")}
        if kind is None or state.keys() != {each.name for each in fields(kind)}:
            raise UnfitError("belongs to another algorithm")
        if not active or any(len(each) != active for each in state.values()):
            raise UnfitError("has another number of examples under attack")
        for name in lasting:
            owner, _, attribute = name.partition(".")
            setattr(_owners(run)[owner], attribute, tensors[name])
        for name in TALLIES:
            setattr(run.oracle, name, self.facts[name])
        run.claims, run.attack_state.faults = self.facts["claims"], Counter(self.facts["faults"])
        run.judge.forwards += self.facts["judge_forwards"]
        return Position(self.facts["restart"], self.facts["step"], kind(**state))


def _owners(run: "AttackRun") -> dict[str, Any]:
    return {"oracle": run.oracle, "results": run.attack_state, "run": run, "closest": run.oracle.closest}


def _lasting(run: "AttackRun") -> dict[str, Tensor]:
    """Return the tensors of an attack by name, apart from the algorithm's state."""
    results = [name for name, value in vars(run.attack_state).items() if isinstance(value, Tensor)]
    closest = ("margin", "points", "broken") if run.oracle.closest else ()
    names = {"oracle": ORACLE, "results": results, "run": LASTING, "closest": closest}
    return {f"{owner}.{name}": getattr(_owners(run)[owner], name) for owner in names for name in names[owner]}


def _can_be_saved(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype in KINDS


def _values(tensor: Tensor) -> Column:
    values: Column = tensor.detach().cpu().contiguous().numpy()
    return values


def _strides(tensor: Tensor) -> list[int] | None:
    """Return the order of a tensor's values in memory, on which sums and convolutions depend in the last digit."""
    ordinary = tensor.is_contiguous() or not _fill_memory(tensor.shape, tensor.stride())
    return None if ordinary else list(tensor.stride())


def _fill_memory(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Return whether values with these strides lie side by side, each once, like those of every new tensor."""
    place = 1
    for stride, size in sorted((stride, size) for stride, size in zip(strides, shape, strict=True) if size > 1):
        if stride != place:
            return False
        place *= size
    return True


def _restored(array: Column, strides: list[int] | None, device: torch.device) -> Tensor:
    """Return a tensor in memory that torch has laid out."""
    values = torch.from_numpy(array)
    if strides is None or len(strides) != values.dim() or not _fill_memory(values.shape, strides):
        return values.clone().to(device)
    return torch.empty_strided(values.shape, strides, dtype=values.dtype, device=device).copy_(values)


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype
