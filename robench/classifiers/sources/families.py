"""Families of published networks, distinguished by the names and shapes in their checkpoints.

The backbone of each family has the same names as one of robench's architectures; only the last layer has another
name. Arguments of the architecture are read from the shapes. If a checkpoint does not show something that changes the
function (the input of a shortcut, the activation), each possibility is a variant, and the user must name one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from robench.classifiers.sources.checkpoint import Weights
from robench.errors import InputError

COUNTER = "num_batches_tracked"
"""Counter of batch norm; evaluation never reads it, and checkpoints from before PyTorch 0.4.1 lack it."""


@dataclass(frozen=True)
class Variant:
    """One of several functions with the same checkpoint.

    Attributes:
        what: the function, and publications that use it.
        architecture: robench's name of the architecture; empty if it is the family's.
        args: arguments of the architecture, besides those from the shapes.
    """

    what: str
    architecture: str = ""
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """Networks that share the names of their layers.

    Attributes:
        architecture: robench's name of the architecture.
        last: name of the last layer.
        marks: keys that all members have; the first family that fits is taken.
        args: reads arguments of the architecture from the weights.
        absent: keys that no member has.
        usual: arguments of a typical member, to find the nearest family of an unknown network.
        unused: a submodule that the forward pass never reads, dropped by name.
        variants: functions among which the user must choose, by name; empty if the keys determine the function.
    """

    architecture: str
    last: str
    marks: tuple[str, ...]
    args: Callable[[Weights], dict[str, Any]]
    absent: tuple[str, ...] = ()
    usual: Mapping[str, Any] = field(default_factory=dict)
    unused: str = ""
    variants: Mapping[str, Variant] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        """Key of the first convolution."""
        return self.marks[0]

    def fits(self, weights: Weights) -> bool:
        """Tell whether the keys are those of this family."""
        return all(mark in weights for mark in self.marks) and not any(key in weights for key in self.absent)


def _wide_resnet(weights: Weights) -> dict[str, Any]:
    blocks = {key.split(".")[2] for key in weights if key.startswith("block1.layer.")}
    return {"depth": 6 * len(blocks) + 4, "widen_factor": len(weights["block1.layer.0.conv1.weight"]) // 16}


def _flexible_wide_resnet(weights: Weights) -> dict[str, Any]:
    groups = sorted({key.split(".")[1] for key in weights if key.startswith("blocks.")})
    depths = [len({key.split(".")[3] for key in weights if key.startswith(f"blocks.{g}.layer.")}) for g in groups]
    widths = [len(weights[f"blocks.{g}.layer.0.conv1.weight"]) for g in groups]
    return {"widths": [len(weights["stem_conv.weight"]), *widths], "blocks": depths}


def _deepmind_flexible_wide_resnet(weights: Weights) -> dict[str, Any]:
    groups = sorted({key.split(".")[1] for key in weights if key.startswith("layer.")})
    depths = [len({key.split(".")[3] for key in weights if key.startswith(f"layer.{g}.block.")}) for g in groups]
    widths = [len(weights[f"layer.{g}.block.0.conv_0.weight"]) for g in groups]
    sparse = "layer.0.block.0.meansparse_0.running_mean" in weights
    return {"widths": [len(weights["init_conv.weight"]), *widths], "blocks": depths, "mean_sparse": sparse}


def _deepmind_wide_resnet(weights: Weights) -> dict[str, Any]:
    blocks = {key.split(".")[3] for key in weights if key.startswith("layer.0.block.")}
    return {"depth": 6 * len(blocks) + 4, "width": len(weights["layer.0.block.0.conv_0.weight"]) // 16}


def _deepmind_preact_resnet(weights: Weights) -> dict[str, Any]:
    return {"depth": 34 if "layer_2.5.conv_2d_1.weight" in weights else 18}


def _preact_depth(weights: Weights) -> dict[str, Any]:
    return {"depth": 34} if "layer3.5.conv1.weight" in weights else {}


def _resnet_depth(weights: Weights) -> dict[str, Any]:
    bottleneck = "layer1.0.conv3.weight" in weights
    blocks = {key.split(".")[1] for key in weights if key.startswith("layer3.")}
    depths = {(True, 6): 50, (True, 23): 101, (True, 36): 152, (False, 6): 34}
    found = depths.get((bottleneck, len(blocks)))
    if found is None:
        raise InputError(f"no ResNet has {len(blocks)} blocks in its third layer")
    return {"depth": found}


def _xcit(weights: Weights) -> dict[str, Any]:
    convolutions = {key.split(".")[2] for key in weights if key.startswith("patch_embed.proj.")}
    return {
        "width": weights["cls_token"].shape[-1],
        "depth": len({key.split(".")[1] for key in weights if key.startswith("blocks.")}),
        "heads": len(weights["blocks.0.attn.temperature"]),
        "convolutions": len(convolutions),
    }


def _torchvision(weights: Weights) -> dict[str, Any]:
    """Find the ResNet of torchvision with these shapes; stem and last layer may differ, as images and classes do."""
    from torchvision import models  # takes two seconds: only if weights have to be recognised

    shapes = {key: value.shape for key, value in weights.items() if _telling(key)}
    for name in models.list_models(models, include=["resnet*", "resnext*", "wide_resnet*"]):
        if _shapes(name) == shapes:
            return {"name": name}
    raise InputError("torchvision has no ResNet of this depth and width")


@cache
def _shapes(name: str) -> dict[str, torch.Size]:
    from torchvision import models

    with torch.device("meta"):
        states = models.get_model(name).state_dict()
    return {key: value.shape for key, value in states.items() if _telling(key)}


def _telling(key: str) -> bool:
    """Tell whether a key distinguishes one ResNet from another."""
    return not key.startswith(("conv1.", "fc.")) and not key.endswith(COUNTER)


def _none(weights: Weights) -> dict[str, Any]:
    return {}


ACTIVATIONS = {
    "silu": Variant(
        "SiLU (Swish) activations: Gowal 2020 and 2021, Rebuffi 2021, Wang 2023", args={"activation": "silu"}
    ),
    "relu": Variant("ReLU activations", args={"activation": "relu"}),
}
SQUEEZES = {
    "silu": Variant(
        "SiLU activations, squeeze-and-excitation after a block's second convolution: Peng 2023, Amini 2024",
        args={"activation": "silu", "squeeze": "second"},
    ),
    "relu": Variant("ReLU activations, the same otherwise", args={"activation": "relu", "squeeze": "second"}),
    "silu-squeeze-first": Variant(
        "SiLU activations, squeeze-and-excitation after the first convolution",
        args={"activation": "silu", "squeeze": "first"},
    ),
    "relu-squeeze-first": Variant(
        "ReLU activations, the same otherwise", args={"activation": "relu", "squeeze": "first"}
    ),
}
STRIDES = {
    "plain": Variant("strides as in torchvision and in timm's networks of the same names: the usual case"),
    "average-pooled": Variant(
        "average pooling instead of strides: timm's resnetaa50", "strided_resnet", {"downsampling": "average"}
    ),
    "blur-pooled": Variant(
        "blur pooling instead of strides: timm's resnetblur50", "strided_resnet", {"downsampling": "blur"}
    ),
    "first-strided": Variant(
        "bottlenecks with the stride in their first convolution: networks from Caffe",
        "strided_resnet",
        {"downsampling": "first"},
    ),
}
PATCHES = {
    "patch-4": Variant("patches of 4 pixels: Debenedetti 2022 on CIFAR", args={"patch": 4}),
    "patch-8": Variant("patches of 8 pixels: timm's xcit_*_p8", args={"patch": 8}),
    "patch-16": Variant("patches of 16 pixels: timm's xcit_*_p16, Debenedetti 2022 on ImageNet", args={"patch": 16}),
    "nano-patch-8": Variant(
        "patches of 8 pixels, class blocks normalise only the class token: timm's xcit_nano_*_p8",
        args={"patch": 8, "class_norm": True},
    ),
    "nano-patch-16": Variant("the same with 16 pixels: timm's xcit_nano_*_p16", args={"patch": 16, "class_norm": True}),
}
RAW = "a block that changes width convolves its raw input in the shortcut: fast_adversarial, Andriushchenko 2020"
ACTIVATED = "a block that changes width convolves the activated input in the shortcut: pytorch-cifar, Rice 2020"

FAMILIES = (
    Family(  # with a parametric activation; Dai et al. 2022
        "pssilu_wide_resnet",
        last="fc",
        marks=("conv1.weight", "block1.layer.0.conv1.weight", "activation.alpha", "activation.beta", "fc.weight"),
        args=_wide_resnet,
        usual={"depth": 28, "widen_factor": 10},
    ),
    Family(  # TRADES, AT_HE, and most wide ResNets since; Zhang et al. 2019, Pang et al. 2020
        "wide_resnet",
        last="fc",
        marks=("conv1.weight", "block1.layer.0.conv1.weight", "block3.layer.0.convShortcut.weight", "fc.weight"),
        absent=("activation.alpha",),
        args=_wide_resnet,
        usual={"depth": 34, "widen_factor": 10},
        unused="sub_block1",
    ),
    Family(  # wide ResNets with a width and depth for each group; Huang et al. 2021
        "flexible_wide_resnet",
        last="fc",
        marks=("stem_conv.weight", "blocks.0.layer.0.conv1.weight", "bn1.weight", "fc.weight"),
        args=_flexible_wide_resnet,
        usual={"widths": [16, 160, 320, 640], "blocks": [5, 5, 5]},
    ),
    Family(  # WRN-A4; Huang et al. 2023
        "robust_resnet",
        last="fc",
        marks=("stem_conv.weight", "blocks.0.layer.0.conv1.weight", "norm1.weight", "fc.weight"),
        absent=("blocks.0.layer.0.conv3.weight",),
        args=_flexible_wide_resnet,
        usual={"widths": [16, 160, 448, 384], "blocks": [2, 2, 2]},
        variants={
            "silu": Variant("SiLU activations: Huang 2023, WRN-A4", args={"activation": "silu"}),
            "relu": Variant("ReLU activations", args={"activation": "relu"}),
        },
    ),
    Family(  # with squeeze-and-excitation: RA-WRN, also with MeanSparse; Peng et al. 2023, Amini et al. 2024
        "deepmind_flexible_wide_resnet",
        last="logits",
        marks=("init_conv.weight", "layer.0.block.0.se.fc1.weight", "batchnorm.weight", "logits.weight"),
        args=_deepmind_flexible_wide_resnet,
        usual={"widths": [16, 160, 320, 640], "blocks": [4, 4, 4], "squeeze": "second"},
        variants=SQUEEZES,
    ),
    Family(  # with MeanSparse; Amini et al. 2024
        "deepmind_flexible_wide_resnet",
        last="logits",
        marks=("init_conv.weight", "layer.0.block.0.meansparse_0.threshold", "batchnorm.weight", "logits.weight"),
        args=_deepmind_flexible_wide_resnet,
        usual={"widths": [16, 160, 320, 640], "blocks": [4, 4, 4], "mean_sparse": True},
        variants={
            "silu": Variant("SiLU (Swish) activations: Amini 2024", args={"activation": "silu"}),
            "relu": Variant("ReLU activations", args={"activation": "relu"}),
        },
    ),
    Family(  # Gowal et al. 2020, and many since
        "deepmind_wide_resnet",
        last="logits",
        marks=("init_conv.weight", "layer.0.block.0.batchnorm_0.weight", "batchnorm.weight", "logits.weight"),
        args=_deepmind_wide_resnet,
        usual={"depth": 28, "width": 10},
        variants=ACTIVATIONS,
    ),
    Family(  # Rebuffi et al. 2021, Rade et al. 2021
        "deepmind_preact_resnet",
        last="logits",
        marks=("conv_2d.weight", "layer_0.0.conv_2d_1.weight", "batchnorm.weight", "logits.weight"),
        args=_deepmind_preact_resnet,
        variants=ACTIVATIONS,
    ),
    Family(  # PreAct ResNets: Wong et al. 2020, Rice et al. 2020
        "preact_resnet18",
        last="linear",
        marks=("conv1.weight", "bn.weight", "layer4.1.conv2.weight", "layer2.0.shortcut.0.weight", "linear.weight"),
        args=_preact_depth,
        variants={
            "raw-shortcut": Variant(RAW, "preact_resnet", {"shortcut": "raw"}),
            "activated-shortcut": Variant(ACTIVATED),
        },
    ),
    Family(  # without batch norm before the pooling: RobustBench's Wong2020Fast, Andriushchenko2020Understanding
        "preact_resnet",
        last="linear",
        marks=(
            "conv1.weight",
            "layer1.0.bn1.weight",
            "layer4.1.conv2.weight",
            "layer2.0.shortcut.0.weight",
            "linear.weight",
        ),
        absent=("bn.weight", "bn1.weight", "layer2.0.shortcut.1.weight", "layer1.0.conv3.weight"),
        args=_preact_depth,
        variants={
            "raw-shortcut": Variant(RAW, args={"shortcut": "raw", "final_norm": False}),
            "activated-shortcut": Variant(ACTIVATED, args={"shortcut": "activated", "final_norm": False}),
        },
    ),
    Family(  # ResNets with a 3x3 stem and bottlenecks or more depth: Engstrom et al. 2019, Augustin et al. 2020
        "resnet",
        last="linear",
        marks=("conv1.weight", "bn1.weight", "layer3.5.conv2.weight", "layer2.0.shortcut.1.weight", "linear.weight"),
        args=_resnet_depth,
        usual={"depth": 50},
    ),
    Family(  # the ResNet-18 common on CIFAR
        "resnet18",
        last="linear",
        marks=("conv1.weight", "bn1.weight", "layer4.1.conv2.weight", "layer2.0.shortcut.1.weight", "linear.weight"),
        absent=("layer1.0.conv3.weight",),
        args=_none,
    ),
    Family(  # cross-covariance image transformers under timm's names; El-Nouby et al. 2021, Debenedetti et al. 2022
        "xcit",
        last="head",
        marks=(
            "patch_embed.proj.0.0.weight",
            "cls_token",
            "blocks.0.attn.temperature",
            "cls_attn_blocks.0.attn.q.weight",
            "head.weight",
        ),
        args=_xcit,
        usual={"width": 384, "depth": 12, "heads": 8, "patch": 4},
        variants=PATCHES,
    ),
    Family(  # torchvision, and timm's networks of the same names
        "torchvision_resnet",
        last="fc",
        marks=("conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight", "fc.weight"),
        args=_torchvision,
        usual={"name": "resnet50"},
        variants=STRIDES,
    ),
)
STEMS = {
    name: family.stem
    for family in FAMILIES
    for name in (family.architecture, *(each.architecture for each in family.variants.values()))
    if name
}
"""First convolutions, by architecture; all of these take images of any height and width."""
