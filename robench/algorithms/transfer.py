"""Transfer: examples that were crafted on other networks, asked about once."""

from typing import ClassVar

from pydantic.dataclasses import dataclass

from robench.access.oracle import Bounds
from robench.algorithms.base import STRICT, Algorithm, State, Task
from robench.errors import InputError
from robench.specs import Access


@dataclass(frozen=True, config=STRICT)
class Transfer(Algorithm[State]):
    """Papernot et al. 2016 (Transferability in machine learning); paper, appendix C.4.

    `robench.evaluation.transfer` crafts the examples: the last iterates of a white-box attack on the substitute,
    whether or not they fooled it. They are the same for every target. Those of minimum-norm attacks may lie outside
    the ball, where they count for nothing.

    Attributes:
        attack: with which they are crafted, a stanza's name.
        substitutes: on which networks, by name; of several, on the mean of their logits.
        networks: the digests of their identities.
        crafted: the digest of all that they depend on.
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
        """The crafted examples."""
        if task.crafted is None:
            raise InputError("a transfer attack needs substitutes: name them with --substitute or further --model.")
        return State(task.crafted)

    def step(self, state: State, t: int, task: Task) -> State:
        """Ask."""
        task.oracle.labels(state.x, candidate=True)
        return state


ALGORITHM = Transfer
