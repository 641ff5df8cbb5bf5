"""Sources of networks: one module for each source, each with `resolve(spec) -> Loaded`."""

from collections.abc import Callable
from dataclasses import replace

from robench.classifiers.rejecting import remark_on, with_outputs
from robench.classifiers.sources import card, exported, function, library, onnx, recognised, robustbench
from robench.classifiers.sources.loaded import FunctionResult, Loaded
from robench.specs import NetworkSpec
from robench.specs.network import Kind

__all__ = ["SOURCES", "FunctionResult", "Loaded", "resolve"]

SOURCES: dict[Kind, Callable[[NetworkSpec], Loaded]] = {
    "card": card.resolve,
    "function": function.resolve,
    "library": library.resolve,
    "checkpoint": recognised.resolve,
    "exported": exported.resolve,
    "onnx": onnx.resolve,
    "robustbench": robustbench.resolve,
}


def resolve(spec: NetworkSpec) -> Loaded:
    """Load the network that a user names.

    A Python file runs once, if the user names one; weights are read without running code.

    Raises:
        InputError: the network cannot be made, or the weights do not fit it.
    """
    found = SOURCES[spec.kind](spec)
    if not spec.single_logit and spec.rejects is None:
        return found
    return replace(
        found,
        network=with_outputs(found.network, spec.single_logit, spec.rejects),
        single_logit=spec.single_logit,
        rejects=spec.rejects,
        remark="; ".join(each for each in (found.remark, remark_on(spec.rejects)) if each),
    )
