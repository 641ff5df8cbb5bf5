"""Declared attacks and batteries, as data."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, field_validator

from robench.specs.base import Declared, digest, fraction

Access = Literal["gradient", "score", "decision", "transfer"]
"""Access of an attack to a model: gradients and logits; logits; labels; the label of one crafted example."""
COUNTED: tuple[Access, ...] = ("score", "decision")
"""Access of the attacks whose cost is counted in queries."""


CONTROL = "control"
"""Algorithm of the black-box control, which batteries of gradient attacks got after records of them were published."""
FEW = 32
"""Largest number of examples for which the control is shortened."""


THROUGH = "-through-"
"""Text between the name of an attack and that of the gradient which it follows in place of the network's own."""


class AttackSpec(Declared):
    """One stanza of `attacks/*.toml`.

    `params` are passed to the algorithm by name. Text such as "3/31" stands for its exact value. Step sizes are
    relative to eps (`rel_step`), so one stanza serves every dataset.
    """

    name: str
    algorithm: str
    steps: int = Field(gt=0)
    restarts: int = Field(1, gt=0)
    success: Literal["any", "last"] = "any"
    access: Access = "gradient"
    params: dict[str, Any] = Field(default_factory=dict)
    about: str
    cite: str

    _path: Path | None = PrivateAttr(default=None)

    @property
    def where(self) -> str:
        """File and name, for messages."""
        return f"'{self._path}', attack '{self.name}'" if self._path else f"attack '{self.name}'"

    def declared_in(self, path: Path) -> None:
        """Remember the file, for messages."""
        self._path = path

    @field_validator("params")
    @classmethod
    def _fractions(cls, params: dict[str, Any]) -> dict[str, Any]:
        return {key: _value(key, value) for key, value in params.items()}

    def identity(self) -> dict[str, Any]:
        """Return everything in the stanza that can change a verdict; the name cannot."""
        return {**self.family_identity(), "steps": self.steps}

    def family_identity(self) -> dict[str, Any]:
        """Return the identity without the number of steps: attacks of one family share starts and paths."""
        return {
            "algorithm": self.algorithm,
            "restarts": self.restarts,
            "success": self.success,
            "access": self.access,
            "params": self.params,
        }

    @property
    def stream(self) -> str:
        """Key of the attack's random numbers; it does not depend on steps, restarts and success."""
        return digest({"algorithm": self.algorithm, "params": self.params})

    @property
    def is_prefix_closed(self) -> bool:
        """True if the first k steps of this attack are the same attack with k steps."""
        return self.success == "any" and self.restarts == 1


class Battery(Declared):
    """A named list of attacks; the attacks of the batteries in `includes` come first.

    `corruptions` names the corrupted images that belong to the battery: `published` ones, generated where the dataset
    has none; only `generated` ones; the four `extra` corruptions; `3d`, those of ImageNet-3DCC; `spatial`, i.e.
    rotations and translations.
    """

    name: str
    about: str
    includes: list[str] = Field(default_factory=list)
    attacks: list[str] = Field(default_factory=list)
    corruptions: Literal["none", "published", "generated", "extra", "3d", "spatial"] = "none"


def _value(key: str, value: Any) -> Any:
    if not isinstance(value, str) or "/" not in value:
        return value
    try:
        return fraction(value)
    except ValueError as error:
        raise ValueError(f"params.{key}: {error}") from None
