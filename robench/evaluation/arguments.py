"""Arguments of the Python interface, turned into declared things."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from torch import nn

from robench.classifiers.service import Service
from robench.errors import InputError
from robench.paths import require_name
from robench.specs import AttackSpec, Input, find_attack


def input_of(
    mean: float | Sequence[float] | Literal["none"] | None, std: float | Sequence[float] | None
) -> Input | None:
    """Return the normalisation that `mean` and `std` say; None if they say nothing.

    Raises:
        InputError: one of them is missing, or they are no numbers that belong to images in [0, 1].
    """
    if isinstance(mean, str) and mean == "none" and std is None:  # as on the command line
        return Input()
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise InputError("mean and std belong together: give both.")
    try:
        means, stds = ([float(each) for each in (np.atleast_1d(np.asarray(values)))] for values in (mean, std))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"mean {mean!r} and std {std!r}: give numbers, one for each channel or one for all."
        ) from error
    return Input.checked(means, stds)


def check_substitutes(substitutes: Any) -> None:
    """Check that substitutes are networks by name.

    Raises:
        InputError: they are not, or a name cannot be part of a file's name.
    """
    if substitutes is not None and not isinstance(substitutes, Mapping):
        raise InputError("substitutes must be networks by name: substitutes={'mine': network}.")
    for name, network in (substitutes or {}).items():
        if not isinstance(network, nn.Module) or isinstance(network, Service):
            raise InputError(f"substitute {name!r} is a {type(network).__name__}, expected a torch.nn.Module.")
        require_name(str(name).replace("/", "."), "the name of a substitute")
        if "+" in str(name):
            raise InputError(f"substitute '{name}': a + joins the networks of an ensemble; take it out of the name.")


def attack_specs(attacks: Sequence[str | AttackSpec]) -> list[AttackSpec]:
    """Return the attacks that are named or given, each once.

    Raises:
        InputError: an attack is unknown, a name cannot be that of a file, or two different attacks share one.
    """
    if isinstance(attacks, str):
        raise InputError(f"attacks is the text '{attacks}', expected a list: attacks=['{attacks}'].")
    specs = [attack if isinstance(attack, AttackSpec) else find_attack(attack) for attack in attacks]
    specs = [spec for at, spec in enumerate(specs) if spec not in specs[:at]]
    names = [spec.name for spec in specs]
    for name in names:
        require_name(name, "the name of an attack")
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two different attacks are called '{name}': give each its own name.")
    return specs
