"""Options that describe a user's network, shared by the commands that take one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from robench.errors import InputError
from robench.paths import require_name
from robench.specs import EMBEDDED, Head, Input, NetworkSpec, is_registered
from robench.specs.base import build
from robench.specs.settings import Rejects

NONE = "none"
"""Value of --mean for a network that takes images as they are."""
HEADS: dict[str, dict[str, Any]] = {
    "he": {"fn": True, "wn": True, "angular": "cos", "margin": 0.2},
    "mhe": {"fn": True, "wn": True, "angular": "arccos", "margin": 0.1},
    "fnwn": {"fn": True, "wn": True, "angular": "cos"},
    "fn": {"fn": True, "wn": False, "angular": "cos", "scale": 1.0},
    "wn": {"fn": False, "wn": True, "angular": "cos", "scale": 1.0},
}
"""Settings of each head of hypersphere embedding, with the paper's m on CIFAR-10 (Pang et al. 2020, Sec. 4).

If both features and weights are normalised, the logits are cosines or angles, and the user must give the scale.
"""

Weights = Annotated[
    Path | None,
    typer.Option(help="Checkpoint for a function, a library's network or a card, in any usual file format."),
]
Mean = Annotated[
    str | None, typer.Option(help="Per-channel mean of the network's normalisation, e.g. 0.49,0.48,0.45; or none.")
]
Std = Annotated[str | None, typer.Option(help="Per-channel standard deviation, e.g. 0.2,0.2,0.2.")]
HeadName = Literal["linear", "he", "fn", "wn", "fnwn", "mhe"]
HeadKind = Annotated[
    HeadName | None, typer.Option("--head", help="Last layer of recognised weights; all but linear normalise.")
]
Scale = Annotated[float | None, typer.Option(help="Scale s of a hypersphere-embedding head, 15 in the paper.")]
Margin = Annotated[
    float | None, typer.Option(help="Margin m of a hypersphere-embedding head.  [default: 0.2 with he, 0.1 with mhe]")
]
Angular = Annotated[
    Literal["cos", "arccos"] | None, typer.Option(help="Logits of --head he or fnwn: cosines, or minus the angles.")
]
FeatureLayer = Annotated[
    str | None, typer.Option(help="Layer whose output is the penultimate features; by default robench looks for it.")
]
Variant = Annotated[
    str | None, typer.Option(help="Function to take if several have the same checkpoint, e.g. raw-shortcut.")
]
Key = Annotated[str | None, typer.Option(help="Part to take if a checkpoint holds several networks, e.g. model_ema.")]
Title = Annotated[
    str | None,
    typer.Option("--name", help="Name of the network in records and tables; by default made from --model."),
]

BackwardName = Annotated[
    str | None,
    typer.Option(
        "--backward",
        help="Gradient for a part of the network that has none: rounding, jpeg, thermometer, argmax, or "
        "file.py:function from the network to one with the same values. The judge asks the network as it is.",
    ),
]
SingleLogit = Annotated[
    bool, typer.Option("--single-logit", help="The network has one output z for two classes: its logits are (0, z).")
]
RejectsBy = Annotated[
    Rejects | None,
    typer.Option(
        "--rejects",
        help="The network may reject an input: by the last of K+1 logits, or by a score above 0 beside the logits.",
    ),
]


@dataclass(frozen=True)
class NetworkOptions:
    """All options that describe a network, apart from its name."""

    weights: Path | None = None
    mean: str | None = None
    std: str | None = None
    head: HeadName | None = None
    scale: float | None = None
    margin: float | None = None
    angular: str | None = None
    feature_layer: str | None = None
    variant: str | None = None
    key: str | None = None
    single_logit: bool = False
    title: str | None = None
    rejects: Rejects | None = None


def networks(models: list[str], said: NetworkOptions) -> list[NetworkSpec]:
    """Describe each network by the options on the command line.

    Raises:
        InputError: an option contradicts another.
    """
    given, last = _input(said.mean, said.std), _head(said)
    for name in models:
        if name.endswith(".py"):
            raise InputError(f"--model {name} is a file: say which function makes the network, {name}:make_model.")
    found = [
        NetworkSpec(
            name,
            said.weights,
            given,
            last,
            said.feature_layer,
            said.variant,
            said.key,
            single_logit=said.single_logit,
            title=said.title,
            rejects=said.rejects,
        )
        for name in models
    ]
    if said.key is not None:
        _require_checkpoint(found, said.key)
    if said.title is not None:
        _require_nameable(found, said.title)
    for network in found:
        if last is not None and network.kind != "checkpoint":
            raise InputError(f"--head is for recognised weights, --model w.pt; '{network.name}' brings its own head.")
        if said.variant is not None and network.kind != "checkpoint":
            raise InputError(f"--variant is for recognised weights, --model w.pt; '{network.name}' has none.")
    return found


def _require_checkpoint(found: list[NetworkSpec], key: str) -> None:
    """Check that there is a checkpoint for `--key` to choose a part of.

    Raises:
        InputError: a network has none.
    """
    for network in found:
        if network.weights is None and network.kind in ("function", "library", "card"):
            raise InputError(
                f"--key {key} chooses a part of a checkpoint, and '{network.name}' has none: add --weights, or leave "
                "it out."
            )


def _require_nameable(found: list[NetworkSpec], title: str) -> None:
    """Check that a name on the command line is for one network without a card, and can be part of a file's name.

    Raises:
        InputError: there are several networks, or a card names its network already, or the name has odd characters.
    """
    require_name(title, "--name")
    if len(found) > 1:
        raise InputError(f"--name {title} names one network, here are {len(found)}: evaluate them one after another.")
    if is_registered(f"{EMBEDDED}/{title}"):
        raise InputError(f"--name {title} is the name of a registered defense: choose another.")
    if found[0].plain:
        raise InputError(f"--name {title} is for a network without a card: '{found[0].name}' has its card's name.")


def _input(mean: str | None, std: str | None) -> Input | None:
    if mean is None and std is None:
        return None
    if mean == NONE:
        if std not in (None, NONE):
            raise InputError(f"--mean none means no normalisation: leave --std {std} out.")
        return Input()
    if mean is None or std is None:
        raise InputError("--mean and --std belong together: give both.")
    return Input.checked(_numbers("--mean", mean), _numbers("--std", std), "--")


def _head(said: NetworkOptions) -> Head | None:
    if said.head in (None, "linear"):
        if any(each is not None for each in (said.scale, said.margin, said.angular)):
            raise InputError(
                "--scale, --margin and --angular belong to hypersphere embedding: add --head he, or leave them out."
            )
        return None if said.head is None else Head()
    assert said.head is not None
    usual = HEADS[said.head]
    if said.scale is None and "scale" not in usual:
        raise InputError(f"--head {said.head} needs its s: --scale 15 is the paper's.")
    own = {"scale": said.scale, "margin": said.margin, "angular": said.angular}
    given = {key: value for key, value in own.items() if value is not None}
    return build(Head, {"kind": "he", **usual, **given}, f"--head {said.head}")


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(each) for each in text.split(",")]
    except ValueError:
        raise InputError(f"{option} '{text}': give numbers with commas, e.g. 0.49,0.48,0.45, or none.") from None
