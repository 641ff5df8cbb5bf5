"""A network on a split under a threat model, loaded and run only when something must be computed."""

import time
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from robench.access.answers import ALLOWED
from robench.access.judge import Judge
from robench.access.microbatches import MicroBatcher
from robench.access.stochastic import Draws
from robench.algorithms import Algorithm, ReferenceExamples, bind
from robench.classifiers.frozen import FrozenNetwork, frozen_network, is_compiled
from robench.devices import sent
from robench.engine.loop import Chunk, CraftedExamples, Job
from robench.engine.sizing import make_ready
from robench.errors import InputError
from robench.evaluation.backward import TRIED, check_backward, follow
from robench.evaluation.cost import SpeedProbe
from robench.evaluation.diagnostics import EXAMPLES, FEW_EXAMPLES, Probe
from robench.evaluation.draw_noise import noise_to_signal
from robench.evaluation.progress import Watcher
from robench.evaluation.request import EvaluationRequest
from robench.evaluation.setup import setup_faults
from robench.evaluation.target import require_possible
from robench.specs import Access, AttackSpec

UNSEEDED = (
    "the network draws random numbers that cannot be seeded: the same command can give other verdicts, and the judge "
    "asks again about every broken example, for the interval."
)


class NetworkContext:
    """The network of a request on its device, and the facts about it that an attack needs.

    Args:
        request: network, examples, threat model, settings.
        watcher: gets notices about the network.
        device: device for the network.
        stack: restores the network when the stack is closed.

    Attributes:
        compiling: seconds that torch.compile took and that no record has counted yet.
    """

    def __init__(self, request: EvaluationRequest, watcher: Watcher, device: torch.device, stack: ExitStack) -> None:
        self.request, self.watcher, self.device, self.stack = request, watcher, device, stack
        self.under_test, self.split, self.threat, self.settings = (
            request.under_test, request.split, request.threat, request.settings,
        )  # fmt: skip
        self.compiling = 0.0

    def refusal(self, spec: AttackSpec) -> str:
        """Return why an attack does not apply, or an empty text."""
        kind, aims = bind(spec), self.request.target is not None
        if reason := self.unable(spec):
            return reason
        fewest = kind.min_classes_aimed if aims else kind.min_classes
        if self.threat.norm not in kind.norms:
            return f"{spec.algorithm} is not defined for {self.threat.norm}"
        if spec.access not in ALLOWED[self.shown]:
            return f"it needs more than the {self.shown}s that the service shows"
        if fewest > 2 and self.classes < fewest:
            return f"{spec.algorithm} needs at least {fewest} classes, the network has {self.classes}"
        return "" if kind.input_kind == "logits" else self._blind(spec, kind)

    def unable(self, spec: AttackSpec) -> str:
        """Return why an attack is not for the request's target, mask or detector, or ""; the network is not run."""
        kind = bind(spec)
        if kind.needs_draws and self.settings.draws is None:
            return f"{spec.name} is for random networks: add --draws (in Python draws=)"
        if self.request.target is not None and not kind.can_aim:
            return f"{spec.algorithm} cannot aim at a class"
        if self.request.mask is not None and not kind.can_mask:
            return f"{spec.algorithm} is code of another library, which cannot keep pixels fixed"
        if self.under_test.rejects and not kind.can_mask:
            return f"{spec.algorithm} is code of another library, which takes a rejection for a success"
        return ""

    def _blind(self, spec: AttackSpec, kind: Algorithm[Any]) -> str:
        """Return why an attack on features does not apply, or an empty text."""
        if reason := self.seen.why_hidden(kind.input_kind):
            return reason
        if kind.input_kind == "normalized" and self.seen.normalizes_features:
            return "the network normalises its features itself"
        if kind.input_kind == "features" and len(self.references.y.unique()) < 2:
            return f"{spec.algorithm} needs correctly classified examples of at least two classes"
        return ""

    def take_compiling(self) -> float:
        """Return the uncounted seconds of torch.compile and reset them; the caller counts them."""
        seconds, self.compiling = self.compiling, 0.0
        return seconds

    def job(self, spec: AttackSpec, crafted: CraftedExamples | None, *, keep_adversarial: bool) -> Job:
        """Describe an attack's work on every chunk."""
        algorithm = bind(spec)
        return Job(
            self.seen if algorithm.input_kind != "logits" else self.network_for(spec),
            algorithm,
            spec,
            self.threat,
            self.settings.seed,
            self.settings.precision,
            self.batcher,
            keep_adversarial,
            self.references if algorithm.input_kind == "features" else None,
            crafted,
            self.draws,
        )

    def network_for(self, spec: AttackSpec) -> FrozenNetwork:
        """Return the network as an attack runs it: only gradient attacks follow another gradient."""
        return self.followed if spec.access == "gradient" else self.network

    def chunk(self, at: Tensor) -> Chunk:
        """Return the examples at some positions of the split, on the network's device."""
        x, y, ids = (sent(each[at], self.device) for each in (self.split.x, self.split.y, self.split.ids))
        here = at.to(self.device)
        target = None if self.targets is None else self.targets[here]
        mask = None if self.request.mask is None else sent(self.request.mask.at(at), self.device)
        clean, drawn = self.clean[here], self.judge.clean_right
        return Chunk(x, y, ids, clean, target, mask, None if drawn is None else drawn.to(self.device)[here])

    @cached_property
    def network(self) -> FrozenNetwork:
        """The network, frozen, on its device."""
        settings = self.settings
        if self.under_test.service and settings.search == "compiled":
            raise InputError("a service is asked, not run: leave search='compiled' out.")
        loaded = self.under_test.load()
        network = self.stack.enter_context(frozen_network(loaded, self.device))
        if is_compiled(loaded):
            self.watcher.notice("the network is compiled; it runs uncompiled here, for attacks use many batch sizes.")
        begin = time.perf_counter()
        network = network.accelerated(settings.search, settings.precision)
        if settings.search == "compiled":  # mostly the time to load the compiler
            self.compiling = time.perf_counter() - begin
        return network

    @cached_property
    def followed(self) -> FrozenNetwork:
        """The network with the gradient that gradient attacks follow: its own, or that of the request's `backward`."""
        given = self.request.backward
        return self.network if given is None else follow(self.network, given, self.stack)

    @cached_property
    def batcher(self) -> MicroBatcher:
        """Micro-batches of a size that suits the network, found by running the network on images of the split."""
        if self.under_test.service is None:
            self.compiling += make_ready(self.judge, self.split.x, self.settings.precision)
        if self.compiling:
            self.watcher.notice(f"torch.compile took {self.compiling:.1f} s, counted with the first attack.")
        return self.judge.batcher

    @cached_property
    def seen(self) -> FrozenNetwork:
        """The network with its penultimate features, for the attacks that work on them."""
        return self.followed.with_features(self.under_test.feature_layer, self.judge.predict, self.split.x[:1])

    @cached_property
    def judge(self) -> Judge:
        """Judge for the clean pass."""
        batcher = MicroBatcher.of(self.settings.batch_size, self.device)
        return Judge(self.followed, batcher if self.under_test.service else batcher.cautious(), self.draws)

    @cached_property
    def draws(self) -> Draws | None:
        """The randomness of a network that is evaluated as a random one."""
        count = self.settings.draws
        if count is None:
            return None
        if self.under_test.service:
            raise InputError("a service draws its own random numbers, which cannot be repeated: leave --draws out.")
        draws = Draws.recognised(count, self.settings.seed, self.network.predict, self.split.x[:1])
        if not draws.repeats:
            self.watcher.notice(UNSEEDED)
        return draws

    @cached_property
    def clean(self) -> Tensor:
        """The predicted classes of the clean examples, int64 (N,); K for a rejection."""
        target, split = self.request.target, self.split
        lowest = target is not None and target.classes is None
        clean = self.judge.clean(split.x, split.y, split.ids, least_likely=lowest)
        if target is not None and target.classes is not None:
            require_possible(target.classes, self.judge.masked)
        if self.judge.looks_like_probabilities and not self.under_test.service:
            self.watcher.notice("the network returns probabilities, not logits: gradients vanish; remove its softmax.")
        if rejected := int((clean == self.classes).sum()):
            self.watcher.notice(f"the network rejects {rejected} of {len(clean)} clean examples: they count as errors.")
        if place := self.judge.place_of_logits:
            self.watcher.notice(f"the network's logits are taken from {place}.")
        if given := self.request.backward:
            few = split.x[:TRIED], split.ids[:TRIED]
            self.judge.forwards += check_backward(self.judge.fixed, given, self.judge.batcher, self.threat, *few)
        return clean

    @cached_property
    def targets(self) -> Tensor | None:
        """The class that attacks aim at for each example, int64 (N,); None if any wrong class is a success."""
        if self.request.target is None:
            return None
        clean, given = self.clean, self.request.target.classes  # the clean pass finds the least likely classes
        return self.judge.least_likely if given is None else given.to(clean.device)

    @cached_property
    def correct(self) -> Tensor:
        """The positions of the correctly classified examples, int64 (A,)."""
        return (self.clean.cpu() == self.split.y).nonzero().flatten()

    @cached_property
    def setup_faults(self) -> dict[str, float]:
        """Indicators of a wrong setup; none with a target, for then the examples of a class are missing."""
        if self.request.target is not None:
            return {}
        labels, predicted = self.split.y.numpy(), self.clean.cpu().numpy()
        return setup_faults(labels, predicted, self.classes, self.under_test.published_clean)

    @cached_property
    def probe(self) -> Probe | None:
        """Probe on the first correctly classified examples, if there are any; it has no target and no mask."""
        small = len(self.split) <= EXAMPLES
        rows = self.correct[: FEW_EXAMPLES if small else EXAMPLES]
        if not len(rows):
            return None
        chunk = replace(self.chunk(rows), target=None, mask=None, right=None)
        return Probe(self.judge.fixed, chunk, self.threat, self.batcher, small=small)

    @cached_property
    def noise_to_signal(self) -> float:
        """Noise of a random network's gradients, on the examples of the probe; 0 if the network is not random."""
        rows = self.correct[:FEW_EXAMPLES]
        if self.draws is None or not len(rows):
            return 0.0
        return noise_to_signal(self.followed, self.chunk(rows), self.draws, self.batcher)

    @cached_property
    def speed_probe(self) -> SpeedProbe:
        """Speed of the network, measured on the first micro-batch."""
        self.judge.predict(self.split.x[:1])  # raises a clear error if the network cannot take the images
        few = self.split.limit(min(self.batcher.size, len(self.split)))
        clean = self.judge.predict(few.x).argmax(1)
        x, y, ids = (each[:].to(self.device) for each in (few.x, few.y, few.ids))
        return SpeedProbe.of(self.judge.fixed, Chunk(x, y, ids, clean), self.threat, self.batcher)

    @cached_property
    def classes(self) -> int:
        """Number of classes of the network."""
        return self.network.classes(self.judge.predict(self.split.x[:1]))

    @cached_property
    def shown(self) -> Access:
        """Access that the network gives: gradients; for a service, the kind of its first answers."""
        service = self.under_test.service
        if service is None:
            return "gradient"
        if service.access is None:
            self.judge.predict(self.split.x[:1])
        return service.access or "decision"

    @cached_property
    def references(self) -> ReferenceExamples:
        """Reference examples for the algorithms that need them."""
        clean = self.clean.to(self.split.y.device)
        references = ReferenceExamples.of(self.split.x, self.split.y, self.split.ids, clean)
        return references.to(self.device)
