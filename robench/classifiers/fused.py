"""Faster networks for the search, which compute the same function; the judge uses the original network."""

import time
from typing import TypeGuard, cast

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError

from robench.classifiers import architectures
from robench.classifiers.classifier import Classifier
from robench.classifiers.precision import arithmetic
from robench.errors import InputError
from robench.specs.settings import Precision, Search

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
TRUSTED = ("torch.nn.modules.", "torchvision.", "robench.classifiers.")
"""Module prefixes that torch.fx traces faithfully."""
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def accelerate(model: nn.Module, search: Search, precision: Precision, device: torch.device) -> nn.Module | None:
    """Return a network in evaluation mode that computes the same up to rounding, or None if none is faster.

    Batch norm is folded in networks of robench only, because a trace can miss parts of other code; networks with
    hooks, replaced layers or a replaced forward pass are left out. Without batch norm, channels last does not pay.
    A folded network has separate weights but shares the head.

    Args:
        model: maps images in [0, 1] to logits.
        search: how the search runs the network.
        precision: precision of the passes.
        device: device of the network.
    """
    if search == "plain":
        return None
    if not _of_robench(model):
        return cast(nn.Module, torch.compile(model, dynamic=True)) if search == "compiled" else None
    found = _fused(model, precision, device)
    if search == "fused":
        return found
    compiled = torch.compile(found.backbone if found else model.backbone, dynamic=True)
    return _with_backbone(model, cast(nn.Module, compiled))


def warm_up(model: nn.Module, x: Tensor) -> float:
    """Return the seconds that torch.compile takes, during the first forward and the first backward pass.

    Args:
        model: a compiled network.
        x: two or more images of its shape: torch.compile treats a single image as a special case.

    Raises:
        InputError: the network cannot be compiled here.
    """
    begin = time.perf_counter()
    from torch._dynamo.exc import TorchDynamoException  # takes most of a second: only if compiling
    from torch._inductor.exc import InductorError

    try:
        with torch.no_grad():
            model(x)
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            logits = model(x)
            if logits.requires_grad:  # else the network has no gradient, only scores
                logits.sum().backward(inputs=[x])
    except (TorchDynamoException, InductorError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".:")
        raise InputError(f"torch.compile fails on the network ({reason}): leave --search compiled out.") from error
    return time.perf_counter() - begin


def _of_robench(model: nn.Module) -> TypeGuard[Classifier]:
    """Return whether the network consists only of unchanged code of robench, torch and torchvision."""
    if type(model) is not Classifier or not type(model.backbone).__module__.startswith(f"{architectures.__name__}."):
        return False
    return not any(
        not type(each).__module__.startswith(TRUSTED)
        or any(callable(vars(each).get(method)) for method in ("forward", "features"))
        or any(getattr(each, hooks) for hooks in HOOKS)
        for each in model.modules()
    )


def _fused(model: Classifier, precision: Precision, device: torch.device) -> Classifier | None:
    if not any(isinstance(module, NORMS) for module in model.backbone.modules()):
        return None
    try:
        with arithmetic("fp32", device):  # so that the weights are not folded in TF32
            backbone = fuse(model.backbone).eval()
    except (TraceError, RuntimeError, TypeError):  # torch's answers to code that depends on values
        return None
    backbone.requires_grad_(False)
    if device.type == "cpu" or precision != "fp32":  # every CPU, and GPUs that use tensor cores
        backbone = backbone.to(memory_format=torch.channels_last)
    return _with_backbone(model, backbone)


def _with_backbone(model: Classifier, backbone: nn.Module) -> Classifier:
    mean, std = (each.flatten().tolist() for each in (model.mean, model.std))
    return Classifier(backbone, model.head, mean, std).to(model.mean.device).eval()
