"""Adversarial examples of substitutes: crafted once, stored, tried on every target."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from robench.access.judge import Judge
from robench.access.microbatches import MicroBatcher
from robench.algorithms import ReferenceExamples, bind
from robench.classifiers.frozen import frozen_network
from robench.devices import sent
from robench.engine.loop import Chunk, CraftedExamples, Job, attack_chunk
from robench.engine.sizing import CHUNK, chunk_for, make_ready
from robench.errors import GradientError, InputError
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest
from robench.paths import atomic_path
from robench.specs import AttackSpec, digest, find_attack

FOLDER = "crafted"
ALGORITHM = "transfer"


class Mean(nn.Module):
    """The mean of several networks' logits."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.training = self.networks.training = False  # members in training mode are rejected

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean logits (N, K)."""
        return torch.stack([network(x) for network in self.networks]).mean(0)


def as_ensemble(substitutes: Sequence[NetworkUnderTest]) -> NetworkUnderTest:
    """Combine several substitutes into one, attacked through the mean of their logits (Liu et al., ICLR 2017)."""
    if detector := next((each.model for each in substitutes if each.rejects), None):
        raise InputError(f"substitute '{detector}' may reject, and rejections have no mean: leave the ensemble out.")
    names = "+".join(each.model for each in substitutes)
    return NetworkUnderTest(
        names, {"mean": [each.identity for each in substitutes]}, lambda: Mean([s.load() for s in substitutes])
    )


class TransferCrafter:
    """Craft the examples of a request's transfer attacks on its substitutes; examples crafted before are read.

    Args:
        request: gives split, threat model, seed and substitutes.
        folder: folder for crafted examples, one safetensors file for each attack and substitute.
        device: device for crafting.
    """

    def __init__(self, request: EvaluationRequest, folder: Path, device: torch.device) -> None:
        self.request, self.folder, self.device = request, folder, device
        self.split, self.settings = request.split, request.settings

    def expand(self, specs: Sequence[AttackSpec]) -> list[AttackSpec]:
        """List the attacks as they are run: sized, and each transfer attack once for every substitute."""
        substitutes = self.request.substitutes
        found = []
        for spec in map(self.request.sized, specs):
            if spec.algorithm != ALGORITHM or not substitutes:
                found.append(spec)
                continue
            for each in substitutes:
                names = [name.rpartition("/")[2] for name in each.model.split("+")]
                params = {
                    **spec.params,
                    "substitutes": each.model.split("+"),
                    "networks": [digest(one) for one in each.identity.get("mean", [each.identity])],
                    "crafted": digest(self._identity(self._source(spec), each)),
                }
                name = f"{spec.name}-from-{'+'.join(names)}"
                found.append(spec.model_copy(update={"name": name, "params": params}))
        names = [spec.name for spec in found]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise InputError(f"two substitutes share the name in '{twice}': name them differently.")
        return found

    def crafted(self, spec: AttackSpec) -> CraftedExamples | None:
        """Return the examples of an expanded attack, crafted if they are missing; None for other attacks."""
        wanted = spec.params.get("crafted")
        for each in self.request.substitutes if spec.algorithm == ALGORITHM else ():
            source = self._source(spec)
            depends = self._identity(source, each)
            if digest(depends) == wanted:
                return CraftedExamples(self.split.ids, self._points(source, each, depends))
        return None

    def _source(self, spec: AttackSpec) -> AttackSpec:
        """Return the attack that crafts: one restart, and no early stop.

        Raises:
            InputError: the attack is no white-box attack, or not defined for the norm or with a mask.
        """
        bind(spec)
        source = find_attack(spec.params["attack"])
        where = f"{spec.where}, key 'params.attack': '{source.name}'"
        if source.access != "gradient":
            raise InputError(f"{where} is no white-box attack; name one that is.")
        if self.request.threat.norm not in bind(source).norms:
            raise InputError(f"{where} is not defined for {self.request.threat.norm}; name one that is.")
        if self.request.mask is not None and not bind(source).can_mask:
            raise InputError(f"{where} cannot keep pixels fixed, as the mask asks; name one that can.")
        return source.model_copy(update={"success": "last", "restarts": 1})

    def _identity(self, source: AttackSpec, substitute: NetworkUnderTest) -> dict[str, Any]:
        """Return everything on which the crafted examples depend."""
        return {
            "substitute": substitute.identity,
            **self.request.attack_identity(source),
        }

    def _points(self, source: AttackSpec, substitute: NetworkUnderTest, depends: dict[str, Any]) -> Tensor:
        name = digest(depends)[:16]
        path = self.folder / f"{source.name}-{name}.safetensors"
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / f".{name}.lock"):
            if not path.is_file():
                text = json.dumps(depends, sort_keys=True)
                try:
                    points = self._craft(source, substitute)
                except GradientError as error:  # the substitute's fault, not that of the network under attack
                    raise InputError(f"substitute '{substitute.model}': {error}") from error
                with atomic_path(path) as temporary:
                    save_file({"x": points}, temporary, {"identity": text, "sha256": _sha256(points)})
        return _read(path, digest(depends))

    def _craft(self, source: AttackSpec, substitute: NetworkUnderTest) -> Tensor:
        """Return the last iterates (N, C, H, W) on the CPU, for all examples, right or wrong on the substitute."""
        settings = self.settings
        with ExitStack() as stack:
            network = stack.enter_context(frozen_network(substitute.load(), self.device))
            network = network.accelerated(settings.search, settings.precision)
            algorithm, split = bind(source), self.split
            if network.rejects and not algorithm.can_mask:
                raise InputError(
                    f"substitute '{substitute.model}' may reject, which code of another library does not know: craft "
                    f"with another attack than '{source.name}'."
                )
            batcher = MicroBatcher.of(settings.batch_size, self.device).cautious()
            judge = Judge(network, batcher)
            clean, references = judge.clean(split.x, split.y, split.ids).to(split.y.device), None
            make_ready(judge, split.x, settings.precision)
            if algorithm.input_kind != "logits":
                network = network.with_features(substitute.feature_layer, judge.predict, split.x[:1])
            if network.why_hidden(algorithm.input_kind):
                raise InputError(
                    f"substitute '{substitute.model}' has no last layer that robench knows: craft with another attack "
                    f"than '{source.name}'."
                )
            if algorithm.input_kind == "features":
                references = ReferenceExamples.of(split.x, split.y, split.ids, clean).to(self.device)
            job = Job(
                network,
                algorithm,
                source,
                self.request.threat,
                self.settings.seed,
                self.settings.precision,
                batcher,
                references=references,
            )
            ends = []
            size = CHUNK if algorithm.batch_random else settings.chunk_size or chunk_for(split.x, batcher)
            for at in torch.arange(len(split)).split(size):
                x, y, ids = (sent(each[at], self.device) for each in (split.x, split.y, split.ids))
                mask = None if self.request.mask is None else sent(self.request.mask.at(at), self.device)
                chunk = Chunk(x, y, ids, clean=y, mask=mask)
                ends.append(attack_chunk(job, chunk, judge, lambda *_: None).final_points.cpu())
        return torch.cat(ends)


def _read(path: Path, wanted: str) -> Tensor:
    try:
        with safe_open(path, framework="pt") as file:
            points: Tensor = file.get_tensor("x")
            meta = file.metadata() or {}
        whole = meta["sha256"] == _sha256(points) and digest(json.loads(meta["identity"])) == wanted
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(f"crafted examples '{path}' are damaged: delete the file and run again.") from error
    if not whole:
        raise InputError(f"crafted examples '{path}' are not what their name says: delete the file and run again.")
    return points


def _sha256(points: Tensor) -> str:
    return hashlib.sha256(points.contiguous().numpy().tobytes()).hexdigest()
