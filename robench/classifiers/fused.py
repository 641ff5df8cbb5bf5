"""The network as the search runs it: the same function, computed faster; the judge keeps the network as it is."""

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
"""Whose layers do in a trace what they do."""
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def accelerate(model: nn.Module, search: Search, precision: Precision, device: torch.device) -> nn.Module | None:
    """A network in evaluation mode that computes the same up to rounding, or None where none is faster.

    Batch norm is folded into networks of robench only, for others' code can do what a trace would miss; and not where
    somebody listens to their layers or has replaced one, or its forward pass. Without batch norm channels last does not
    pay. What is folded has weights of its own; the head is shared.

    Args:
        model: maps images in [0, 1] to logits.
        search: how it is to be run.
        precision: of its passes.
        device: where the network lives.
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
    """Seconds that torch.compile takes: it works in the first pass forwards, and in the first with a way back.

    Args:
        model: compiled.
        x: two images that it takes, or more: one alone would be a case of its own.

    Raises:
        InputError: it cannot be compiled here.
    """
    begin = time.perf_counter()
    from torch._dynamo.exc import TorchDynamoException  # most of a second, for those who compile
    from torch._inductor.exc import InductorError

    try:
        with torch.no_grad():
            model(x)
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            logits = model(x)
            if logits.requires_grad:  # else there is nothing but scores to be had
                logits.sum().backward(inputs=[x])
    except (TorchDynamoException, InductorError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".:")
        raise InputError(f"torch.compile cannot take the network ({reason}): leave --search compiled out.") from error
    return time.perf_counter() - begin


def _of_robench(model: nn.Module) -> TypeGuard[Classifier]:
    """Whether the network is code of robench and torch, and nothing but that."""
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
        with arithmetic("fp32", device):  # lest the weights are folded in TF32
            backbone = fuse(model.backbone).eval()
    except (TraceError, RuntimeError, TypeError):  # what torch says where code looks at values: there is no trace
        return None
    backbone.requires_grad_(False)
    if device.type == "cpu" or precision != "fp32":  # where a GPU's tensor cores want it, and every CPU
        backbone = backbone.to(memory_format=torch.channels_last)
    return _with_backbone(model, backbone)


def _with_backbone(model: Classifier, backbone: nn.Module) -> Classifier:
    mean, std = (each.flatten().tolist() for each in (model.mean, model.std))
    return Classifier(backbone, model.head, mean, std).to(model.mean.device).eval()
