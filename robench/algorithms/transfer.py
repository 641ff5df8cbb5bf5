"""Transfer: query examples once that were crafted on other networks."""

from typing import ClassVar

from pydantic.dataclasses import dataclass

from robench.access.answers import Bounds
from robench.algorithms.base import STRICT, Algorithm, State, Task
from robench.errors import InputError
from robench.specs import Access


@dataclass(frozen=True, config=STRICT)
class Transfer(Algorithm[State]):
    """Transfer attack (Papernot et al. 2016, Transferability in machine learning; paper, appendix C.4).

    `robench.evaluation.transfer` crafts the examples: the last iterates of a white-box attack on the substitute,
    whether or not they fooled it. The examples are the same for every target. Examples of minimum-norm attacks may lie
    outside the ball, where they do not count.

    Attributes:
        attack: name of the stanza that crafts the examples.
        substitutes: names of the networks on which the examples are crafted; if several, on the mean of their logits.
        networks: digests of the networks' identities.
        crafted: digest of everything on which the examples depend.
    """

    attack: str
    substitutes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    crafted: str = ""

    access: ClassVar[Access] = "transfer"
    bounds: ClassVar[Bounds] = "none"
    is_prefix_stable: ClassVar[bool] = False
    checks_own_proposals: ClassVar[bool] = True

    def init(self, task: Task) -> State:
        """Start from the crafted examples."""
        if task.crafted is None:
            raise InputError("a transfer attack needs substitutes: name them with --substitute or further --model.")
        return State(task.crafted)

    def step(self, state: State, t: int, task: Task) -> State:
        """Query the crafted examples."""
        task.oracle.labels(state.x, candidate=True)
        return state


ALGORITHM = Transfer
