"""Options that describe a user's network, shared by the commands that take one."""

from math import isfinite
from pathlib import Path
from typing import Annotated, Literal

import typer

from robench.errors import InputError
from robench.specs import Head, Input, NetworkSpec
from robench.specs.base import build

MARGIN = 0.2
"""The paper's m on CIFAR-10 (Pang et al. 2020, Sec. 4)."""

Weights = Annotated[
    Path | None,
    typer.Option(help="Checkpoint for a function, a library's network or a card, in any usual file format."),
]
Mean = Annotated[str | None, typer.Option(help="Per-channel mean, e.g. 0.49,0.48,0.45, if the network expects it.")]
Std = Annotated[str | None, typer.Option(help="Per-channel standard deviation, e.g. 0.2,0.2,0.2.")]
HeadName = Literal["linear", "he"]
HeadKind = Annotated[
    HeadName | None, typer.Option("--head", help="Last layer of recognised weights; he is hypersphere embedding.")
]
Scale = Annotated[float | None, typer.Option(help="Scale s of --head he, 15 in the paper.")]
Margin = Annotated[float | None, typer.Option(help=f"Margin m of --head he.  [default: {MARGIN}]")]
FeatureLayer = Annotated[
    str | None, typer.Option(help="Layer whose output is the penultimate features; by default robench looks for it.")
]


def networks(
    models: list[str],
    weights: Path | None,
    mean: str | None,
    std: str | None,
    head: HeadName | None,
    scale: float | None,
    margin: float | None,
    feature_layer: str | None,
) -> list[NetworkSpec]:
    """Describe each network by the options on the command line.

    Raises:
        InputError: an option contradicts another.
    """
    given, last = _input(mean, std), _head(head, scale, margin)
    for name in models:
        if name.endswith(".py"):
            raise InputError(f"--model {name} is a file: say which function makes the network, {name}:make_model.")
    found = [NetworkSpec(name, weights, given, last, feature_layer) for name in models]
    for network in found:
        if last is not None and network.kind != "checkpoint":
            raise InputError(f"--head is for recognised weights, --model w.pt; '{network.name}' brings its own head.")
    return found


def _input(mean: str | None, std: str | None) -> Input | None:
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise InputError("--mean and --std belong together: give both.")
    means, stds = _numbers("--mean", mean), _numbers("--std", std)
    if len(means) != len(stds):
        raise InputError(f"--mean has {len(means)} values and --std {len(stds)}: give the same number.")
    if not all(isfinite(each) for each in (*means, *stds)) or min(stds) <= 0:
        raise InputError(f"--mean {mean} and --std {std}: give finite numbers, each std above 0.")
    if max(means) > 1:
        raise InputError(f"--mean {mean} is above 1, but images lie in [0, 1]: divide --mean and --std by 255.")
    return Input(mean=means, std=stds)


def _head(kind: HeadName | None, scale: float | None, margin: float | None) -> Head | None:
    if kind != "he" and (scale is not None or margin is not None):
        raise InputError("--scale and --margin belong to hypersphere embedding: add --head he, or leave them out.")
    if kind is None:
        return None
    if kind == "linear":
        return Head()
    if scale is None:
        raise InputError("--head he needs its s: --scale 15 is the paper's.")
    return build(Head, {"kind": "he", "scale": scale, "margin": MARGIN if margin is None else margin}, "--head he")


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(each) for each in text.split(",")]
    except ValueError:
        raise InputError(f"{option} '{text}': give numbers with commas between them, e.g. 0.49,0.48,0.45.") from None
