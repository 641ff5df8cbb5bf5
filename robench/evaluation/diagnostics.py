"""Indicators of trust (`attacks/diagnostics.toml`): a probe before the first attack, and counts during each attack."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from robench.access.answers import GradientResult
from robench.access.judge import Judge
from robench.access.microbatches import MicroBatcher
from robench.access.oracle import Oracle
from robench.algorithms import bind
from robench.classifiers.frozen import FrozenNetwork
from robench.classifiers.outputs import is_masked, resolution
from robench.engine.loop import Chunk, Job, attack_chunk
from robench.errors import InputError
from robench.evaluation.gradient_truth import GradientTruth
from robench.numerics.ball import Ball
from robench.numerics.losses import Objective
from robench.numerics.norms import P_NORMS
from robench.specs import AttackSpec, ThreatModel, diagnostics
from robench.specs.diagnostic import ascends_raw
from robench.store import Rows, percent

EXAMPLES, FEW_EXAMPLES = 32, 8
"""Number of correctly classified examples that are probed, the first of the split; and if no more than `EXAMPLES` are
evaluated."""
DIRECTIONS, FEW_DIRECTIONS = 8, 3
"""Random directions along which a gradient is compared with differences, in the same two cases."""
SMALL = 0.01
"""Step, in units of eps, after which the loss should have changed as the gradient predicts."""
LEAST = 1e-4
"""Smallest length of that step, because float32 would not resolve a smaller change."""
AGREES = (0.25, 4.0)
"""Allowed range of actual over predicted change, wide enough for a kink within the step."""

ROUNDINGS = 4
"""Roundings of the largest logit that the actual change may be off: two for each of two margins."""

SHORT = 10
"""Smallest number of steps that can show that an attack has converged."""


class Probe:
    """Examine a network's gradients on a few examples before the first attack.

    Attributes:
        forwards: forward passes that were spent, including the judge's.
        found: indicators of the network under the names of `attacks/diagnostics.toml`.
    """

    def __init__(
        self, network: FrozenNetwork, chunk: Chunk, threat: ThreatModel, batcher: MicroBatcher, *, small: bool = False
    ) -> None:
        """Probe a network.

        Args:
            network: the network.
            chunk: correctly classified examples.
            threat: the threat model.
            batcher: calls the network.
            small: whether few examples are evaluated: fewer directions are tried, and accuracies of attacks are not
                compared, for among few examples ten points are chance.
        """
        self.network, self.chunk, self.threat, self.batcher, self.small = network, chunk, threat, batcher, small
        self.forwards = 0
        self.found = {"inner-gradients": float(self._differentiates_itself())}
        self.found["hypersphere"] = float(network.scale is not None and network.scale != 1.0)
        self._follow_gradients(FEW_DIRECTIONS if small else DIRECTIONS)
        with self._outside():
            self.found["survivors-at-unlimited-eps"] = self._accuracy("margin", self._unlimited()) / 100
        if not small:
            with self._outside():
                self.found["rises-with-eps"] = self._rise()

    def indicators(self, params: Mapping[str, Any]) -> dict[str, float]:
        """Return what was found, rounded; for attacks on unscaled cross-entropy also what a scale would gain.

        Args:
            params: all parameters of the attack.
        """
        found = dict(self.found)
        if ascends_raw(params) and not self.small:
            found["scale"] = self._gain_of_scale
        return {name: round(value, 6) for name, value in found.items()}

    @cached_property
    def _gain_of_scale(self) -> float:
        return self._accuracy("ce", self.threat.eps) - self._accuracy("ce_scaled", self.threat.eps)

    def _rise(self) -> float:
        """Return the points of accuracy that a doubled eps gains; at most the accuracy at the doubled eps."""
        most = self._accuracy("margin", 2 * self.threat.eps)
        if most <= diagnostics()["rises-with-eps"].above:
            return min(most, 0.0)
        return most - self._accuracy("margin", self.threat.eps)

    def _outside(self) -> AbstractContextManager[None]:
        """Leave out an indicator that cannot be measured: a network may give NaN outside the ball."""
        return suppress(InputError)

    def _unlimited(self) -> float:
        """Return the eps that allows every image."""
        return P_NORMS[self.threat.norm].whole_box(tuple(self.chunk.x.shape[1:]))

    def _accuracy(self, objective: str, eps: float) -> float:
        """Robust accuracy in percent under ten steps from the clean point."""
        params = {"rel_step": 0.25, "start": "clean", "objective": objective}
        spec = AttackSpec(name="probe", algorithm="pgd", steps=10, params=params, about="", cite="")
        threat = ThreatModel(norm=self.threat.norm, text=str(eps), eps=eps)
        judge = Judge(self.network, self.batcher)
        job = Job(self.network, bind(spec), spec, threat, 0, "fp32", self.batcher)
        rows = attack_chunk(job, self.chunk, judge, lambda *_: None).rows
        self.forwards += judge.forwards + int(rows.forwards.sum())
        return percent(rows.robust)

    def _follow_gradients(self, directions: int) -> None:
        """Compare the gradient with the changes of the logits along itself and along random directions."""
        chunk, ball = self.chunk, Ball(self.chunk.x, self.threat.norm, self.threat.eps)
        rules = {"access": "gradient", "bounds": "none", "batcher": self.batcher, "precision": "fp32"}
        oracle = Oracle(self.network, ball, chunk.y, chunk.ids, **rules)  # type: ignore[arg-type]
        truth = GradientTruth(self.network, chunk, self.threat, self.batcher)
        x = truth.points()
        slope = oracle.gradient(x, Objective("margin"), candidate=False)
        self.found["unpredictive-gradients"] = self._unpredictive(oracle, ball, x, slope, truth.wide_share(x[:1]))
        self.found["false-gradients"] = truth.false_share(x, slope, directions)
        self.forwards += int(oracle.forwards.sum()) + truth.forwards
        if self.network.rejects:
            self.found["false-detector-gradients"] = self._follow_detector(x, slope.logits.shape[1], directions)

    def _follow_detector(self, x: Tensor, reject: int, directions: int) -> float:
        """Return the share of examples whose gradient does not tell how the last logit, `reject`, changes."""
        chunk, whole = self.chunk, replace(self.network, rejects=False)
        ball = Ball(chunk.x, self.threat.norm, self.threat.eps)
        rules = {"access": "gradient", "bounds": "none", "batcher": self.batcher, "precision": "fp32"}
        oracle = Oracle(whole, ball, chunk.y, chunk.ids, **rules)  # type: ignore[arg-type]
        last = torch.full_like(chunk.y, reject)
        slope = oracle.gradient(x, Objective("lead"), given=(last,), candidate=False)
        if is_masked(slope.logits)[:, -1].all():  # it never rejects, and has nothing to follow
            return 0.0
        truth = GradientTruth(whole, chunk, self.threat, self.batcher)
        share = truth.false_share(x, slope, directions, reject)
        self.forwards += int(oracle.forwards.sum()) + truth.forwards
        return share

    def _unpredictive(self, oracle: Oracle, ball: Ball, x: Tensor, slope: GradientResult, wide: float) -> float:
        """Return the share of examples whose margin does not follow its gradient; zero gradients predict nothing.

        The gradient that a user gives to a part with jumps tells the change over steps as wide as the part's: it is
        wrong only if it is wrong for a wide step, too, of `wide` units of eps.
        """
        off = self._off(oracle, ball, x, slope, max(SMALL * self.threat.eps, LEAST))
        if self.network.backward is not None:
            off &= self._off(oracle, ball, x, slope, wide * self.threat.eps)
        return float(off.float().mean())

    def _off(self, oracle: Oracle, ball: Ball, x: Tensor, slope: GradientResult, step: float) -> Tensor:
        """Return for which examples a step along the gradient does not change the margin as predicted, bool (M,)."""
        moved = x + step * ball.steepest(slope.gradient)
        change = Objective("margin")(oracle.logits(moved), self.chunk.y) - slope.value
        predicted = step * ball.dual(slope.gradient)
        (low, high), noise = AGREES, ROUNDINGS * resolution(slope.logits)
        return (predicted > 0) & ((change < low * predicted - noise) | (change > high * predicted + noise))

    def _differentiates_itself(self) -> bool:
        with _autograd_calls() as calls, torch.no_grad():
            self.network.output(self.chunk.x[:1])
        self.forwards += 1
        return bool(calls)


class _Calls(TorchFunctionMode):
    """Record calls of autograd, under whatever name they were imported."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (torch.autograd.grad, torch.autograd.backward, Tensor.backward):
            self.seen.append(function)
        return function(*args, **(kwargs or {}))


@contextmanager
def _autograd_calls() -> Iterator[list[Any]]:
    with _Calls() as calls:
        yield calls.seen


def indicators(counts: Mapping[str, int], faults: Mapping[str, int], spec: AttackSpec) -> dict[str, float]:
    """Return shares under the names of the diagnostics; a share that could not be measured is left out.

    Args:
        counts: counts of `robench.engine.loop`, summed over chunks.
        faults: number of claims that the judge refused, by reason.
        spec: the attack.
    """
    found: dict[str, float] = {}
    if counts["slopes"]:
        found["zero-gradients"] = counts["flat"] / counts["slopes"]
        if not counts["opaque"]:
            found["too-short"] = float(spec.steps < SHORT)
        if counts["followed"] or not counts["survivors"]:
            found["unfinished"] = counts["gaining"] / max(counts["followed"], 1)
    if counts["claims"]:
        found["unconfirmed"] = sum(faults.values()) / counts["claims"]
    if spec.success == "last" and counts["survivors"]:
        found["silent-success"] = counts["slipped"] / counts["survivors"]
    return {name: round(value, 6) for name, value in found.items()}


def of_prefix(longer: Mapping[str, float], rows: Rows, steps: int) -> dict[str, float]:
    """Return the indicators of an attack that is read from a longer run.

    Convergence is not estimated from gains, but measured by the examples that the later steps broke.

    Args:
        longer: indicators of the longer run.
        rows: rows of the longer run.
        steps: steps of the shorter attack.
    """
    found = {name: value for name, value in longer.items() if name != "unfinished"}
    if "too-short" in found:
        found["too-short"] = float(steps < SHORT)
        survivors = rows.after(steps).robust
        found["later-steps-break-more"] = round(
            float(rows.robust[survivors].size and (~rows.robust[survivors]).mean()), 6
        )
    return found
