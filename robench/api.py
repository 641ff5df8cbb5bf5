"""The Python interface: evaluate any network, load a registered defense."""

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from robench.classifiers import load_model
from robench.classifiers.normalised import normalised
from robench.classifiers.rejecting import remark_on, with_outputs
from robench.classifiers.service import AskError, Service
from robench.classifiers.sources.backward import Given
from robench.classifiers.user_images import fitted
from robench.data.about import NOTHING
from robench.data.described import described, dim
from robench.data.given import given
from robench.data.mask import fitted_mask
from robench.data.mask_values import MaskValues, exact, read_mask
from robench.data.split import Split
from robench.devices import pick_device
from robench.engine.executors import make_executor, require_engine
from robench.errors import InputError
from robench.evaluation.arguments import attack_specs, check_substitutes, input_of
from robench.evaluation.budget import cap_queries
from robench.evaluation.corruptions import Generated, RotatedTranslated
from robench.evaluation.corruptions import evaluate as run_corrupted
from robench.evaluation.kept import points_of
from robench.evaluation.progress import Quiet
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings, network_identity
from robench.evaluation.run import evaluate as run
from robench.evaluation.target import LeastLikely
from robench.evaluation.transfer import as_ensemble
from robench.evaluation.verify import Verification
from robench.evaluation.verify import verify as run_verify
from robench.paths import require_writable
from robench.report import Evaluation
from robench.report.corruptions import CorruptionReport
from robench.report.sweeps import Sweep
from robench.specs import (
    LEVELS,
    AttackSpec,
    Input,
    Normalisation,
    ThreatModel,
    battery_attacks,
    list_attacks,
    list_models,
)
from robench.specs.settings import Precision, Rejects, Search
from robench.store import Store

__all__ = ["Service", "evaluate", "evaluate_corruptions", "list_attacks", "list_models", "load_model", "verify"]


def evaluate(
    model: nn.Module | Callable[[Tensor], Any],
    x: Any,
    y: Any = None,
    *,
    eps: str | float,
    norm: str | float = "linf",
    target: int | Sequence[int] | LeastLikely | None = None,
    mask: Any = None,
    backward: Given | None = None,
    battery: str = "paper",
    attacks: Sequence[str | AttackSpec] | None = None,
    ids: Any = None,
    limit: int | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "fp32",
    search: Search = "fused",
    draws: int | None = None,
    batch_size: int | None = None,
    chunk_size: int | None = None,
    max_queries: int | None = None,
    substitutes: Mapping[str, nn.Module] | None = None,
    ensemble: bool = False,
    feature_layer: str | None = None,
    mean: float | Sequence[float] | Literal["none"] | None = None,
    std: float | Sequence[float] | None = None,
    single_logit: bool = False,
    rejects: Rejects | None = None,
    results: str | Path | None = None,
    save_adversarial: bool = False,
    engine: str = "local",
    ray_address: str | None = None,
) -> Evaluation:
    """Attack a network and judge every success.

    Args:
        model: maps images in [0, 1] to logits (N, K); in evaluation mode; unchanged afterwards. Or any callable
            that answers with scores or labels, a remote service perhaps: see `robench.Service`. Attacks that need
            more than a callable shows are skipped.
        x: images in [0, 1], float, (N, C, H, W), array or tensor. Or a dataset or loader that gives images in [0, 1]
            or bytes, with labels, without random transforms: of torch, torchvision or Hugging Face, or a list of pairs.
            It is read in the dataset's own order, whatever order a loader draws.
        y: class numbers (N,), or one-hot rows (N, K); leave it out for a dataset or loader.
        eps: the radius, "8/255" or a number.
        norm: "linf", "l2" or "l1"; or infinity, 2 or 1.
        target: the class that every attack aims at: one for all examples, one for each example, or "least-likely", the
            class with the lowest clean logit of each example. A success is then a prediction of the target, and the
            robust accuracy is the share of examples that are classified correctly and are not turned into the target
            within the ball. Examples whose label is the target are left out, with a warning that tells their number;
            attacks that cannot aim are skipped. None if any wrong class is a success.
        mask: the pixels that attacks may change, bools or exact 0 and 1: (H, W) or (C, H, W) for all examples, or
            (N, H, W) or (N, C, H, W) for each example. The ball then holds only images that equal the clean image
            wherever the mask is 0. Attacks that cannot keep pixels fixed are skipped. None if all pixels may change.
        backward: gradient that attacks follow where a part of the network has none: "rounding", "jpeg", "thermometer",
            "argmax", "file.py:function", or a function from a copy of the network to a network with the same values
            and a useful gradient (see `robench.straight_through`). The judge and black boxes ask the network as it is.
        battery: named list of attacks, used unless `attacks` is given.
        attacks: names of declared attacks, or your own stanzas.
        ids: stable numbers of the examples; 0, 1, ... by default. They key the random draws.
        limit: number of examples to take, every class in proportion, the same for every network; None for all. A
            dataset that keeps its labels in `targets` is asked for these images only.
        seed: seed of all random draws.
        device: "auto", "cpu", "cuda", "cuda:1".
        precision: precision of the search; verdicts are always given in float32.
        search: form of the network that attacks run: "plain", "fused" (batch norm folded into the convolutions
            of robench's networks), or "compiled" by torch.compile. Verdicts are given on the original network.
        draws: evaluate a random network, such as one with dropout or noise: every question of an attack takes the mean
            of so many draws of its answers (expectation over transformation, Athalye et al. 2018). The judge draws 64
            answers for each point; an example is broken if more than half are wrong. None: random networks are refused.
        batch_size: examples per micro-batch; found automatically by default, halved if memory runs out.
        chunk_size: examples that advance, and are stored, together; by default up to 1024, as their size allows.
        max_queries: largest number of queries per example, for attacks on scores or decisions.
        substitutes: networks by name, on which transfer attacks are crafted.
        ensemble: craft on the mean of all substitutes' logits instead of on each.
        feature_layer: name in `model.named_modules()` of the layer whose output is the penultimate features, for
            attacks on features; by default robench looks for the last linear layer and takes its input.
        mean, std: normalisation that the network expects, one number for each channel or one for all, for images in
            [0, 1]; it is put before the network. None, or mean "none", if the network takes images as they are.
        single_logit: whether the network has one output z, (N,) or (N, 1), for two classes: its logits are (0, z).
        rejects: "logit" if the last of K+1 logits rejects the input, "flag" if the network returns (logits, score) and
            a score above 0 (or True), (N,) or (N, 1), rejects it. An adversarial example then counts if it is
            misclassified and accepted; a rejected clean example is an error. None if the network rejects nothing.
        results: a folder that keeps the records, so that the same call resumes; none by default.
        save_adversarial: keep the adversarial points, for `report.adversarial()`: in memory, or if there is a folder of
            results in its records, for `robench.verify` and for the gallery of the HTML report too.
        engine: place of computation: "local", or "ray" for many cores or GPUs.
        ray_address: address of a Ray cluster to join; by default Ray is started here, unless this process has done so.

    Returns:
        Verdicts, whose `worst_case` has an interval and a trust verdict; if the trust is broken, a warning says why.

    Raises:
        InputError: something is wrong with the network, the data or the settings; the message says what.
    """
    split = _examples(x, y, ids, limit)
    threat = ThreatModel.parse(norm, eps)
    specs = battery_attacks(battery) if attacks is None else attack_specs(attacks)
    specs = specs if max_queries is None else cap_queries(specs, max_queries)
    settings = Settings(seed, precision, device, batch_size, chunk_size, save_adversarial, search, draws)
    require_engine(engine, ray_address, search)
    under_test = _subject(model, results is not None, feature_layer, input_of(mean, std), single_logit, rejects)
    split = split if y is not None else _fitted(split, under_test, device)
    check_substitutes(substitutes)
    if engine == "ray" and under_test.service:
        raise InputError("a service is asked by one process, which counts its queries: leave engine='ray' out.")
    if not substitutes and (needy := [spec.name for spec in specs if spec.access == "transfer"]):
        raise InputError(f"'{needy[0]}' needs substitutes to craft on: substitutes={{'mine': network}}.")
    crafting = [
        NetworkUnderTest(name, network_identity(network), _loader(network))
        for name, network in (substitutes or {}).items()
    ]
    crafting = [as_ensemble(crafting)] if ensemble and crafting else crafting
    free = None if mask is None else fitted_mask(_mask(mask), split, lambda: _everyone(x, ids, split))
    request = EvaluationRequest(under_test, split, threat, tuple(specs), settings, tuple(crafting), mask=free)
    request = request.aiming_at(target).through(backward)
    with ExitStack() as stack:
        folder = results or stack.enter_context(tempfile.TemporaryDirectory(prefix="robench-"))
        require_writable(Path(folder) / "raw", "results")
        executor = stack.enter_context(closing(make_executor(engine, device, ray_address)))
        store = Store(Path(folder))
        try:
            outcome = run(request, store, Quiet(), executor, for_later=results is not None)
        except AskError as error:
            raise (error.__cause__ or error) from None
        images = x if y is not None else split.y  # a dataset gives tensors
        points = points_of(request, outcome, images, in_memory=results is None) if save_adversarial else None
    if results is None:
        for result in outcome.results:
            result.record.path = None
    evaluation = Evaluation.of(outcome, described(split) if split.about != NOTHING else "")
    evaluation = replace(evaluation, points=points)
    if evaluation.results and evaluation.worst_case.trust.level == LEVELS[-1]:
        warnings.warn(f"the worst case is {evaluation.worst_case.trust.sentence()}", stacklevel=2)
    return evaluation


def evaluate_corruptions(
    model: nn.Module,
    x: Any,
    y: Any = None,
    *,
    spatial: bool = False,
    ids: Any = None,
    limit: int | None = None,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    mean: float | Sequence[float] | Literal["none"] | None = None,
    std: float | Sequence[float] | None = None,
    single_logit: bool = False,
    rejects: Rejects | None = None,
    results: str | Path | None = None,
) -> CorruptionReport:
    """Measure accuracy on common corruptions, or under rotations and translations, for images of any size.

    Args:
        model: maps images in [0, 1] to logits (N, K); in evaluation mode; unchanged afterwards.
        x: images in [0, 1], float, (N, 1 or 3, H, W); array or tensor. Or a dataset or loader, as for `evaluate`.
        y: class numbers (N,), or one-hot rows (N, K); leave it out for a dataset or loader.
        spatial: take the worst of a grid of rotations and translations, instead of the fifteen corruptions.
        ids: stable numbers of the examples; 0, 1, ... by default. They key the random draws.
        limit: number of examples to take, every class in proportion; None for all.
        seed: seed of all random draws.
        device: "auto", "cpu", "cuda", "cuda:1".
        batch_size: examples per micro-batch; found automatically by default, halved if memory runs out.
        mean, std: normalisation that the network expects, one number for each channel or one for all, for images in
            [0, 1]; it is put before the network. None, or mean "none", if the network takes images as they are.
        single_logit: whether the network has one output z, (N,) or (N, 1), for two classes: its logits are (0, z).
        rejects: as in `evaluate`; a rejected image is an error.
        results: a folder that keeps the verdicts, so that the same call resumes; none by default.

    Raises:
        InputError: something is wrong with the network, the data or the settings; the message says what.
    """
    split = _examples(x, y, ids, limit)
    settings = Settings(seed, device=device, batch_size=batch_size)
    if not isinstance(model, nn.Module):
        raise InputError(f"the network is a {type(model).__name__}, expected a torch.nn.Module.")
    under_test = _subject(
        model, results is not None, given=input_of(mean, std), single_logit=single_logit, rejects=rejects
    )
    split = split if y is not None else _fitted(split, under_test, device)
    with ExitStack() as stack:
        folder = Path(results or stack.enter_context(tempfile.TemporaryDirectory(prefix="robench-")))
        require_writable(folder / "raw", "results")
        try:
            lines = run_corrupted(
                under_test, split, RotatedTranslated() if spatial else Generated(split), settings, folder
            )
        except AskError as error:
            raise (error.__cause__ or error) from None
    return CorruptionReport(under_test.model, Sweep(tuple(lines)))


def _examples(x: Any, y: Any, ids: Any, limit: int | None) -> Split:
    """Return the user's examples, and warn if their values end far below 1."""
    split = given(x, y, ids, limit)
    if doubt := dim(split):
        warnings.warn(f"{doubt}.", stacklevel=3)
    return split


def _fitted(split: Split, under_test: NetworkUnderTest, device: str) -> Split:
    """Return a dataset's grey images with one channel if the network takes one."""
    return split if under_test.service else fitted(split, under_test.load(), pick_device(device))


def verify(
    results: str | Path,
    model: nn.Module | Callable[[Tensor], Any] | None = None,
    *,
    feature_layer: str | None = None,
    mean: float | Sequence[float] | Literal["none"] | None = None,
    std: float | Sequence[float] | None = None,
    single_logit: bool = False,
    rejects: Rejects | None = None,
    data_dir: str | Path | None = None,
) -> list[Verification]:
    """Judge stored adversarial examples again, from disk and on the CPU.

    Args:
        results: the folder of results of an evaluation with `save_adversarial`.
        model: the network whose records are judged; by default all records, each with the network that the command
            line loaded for it.
        feature_layer, mean, std, single_logit, rejects: as in `evaluate`.
        data_dir: folder of downloaded datasets.

    Returns:
        One entry for each record: the numbers of stored and confirmed examples, faults by reason, and a `reason` if
        the examples could not be judged. A record holds if `faults` and `reason` are empty.

    Raises:
        InputError: a record is damaged, or something is wrong with the network.
        IncompleteError: there are no stored examples.
    """
    place = None if data_dir is None else Path(data_dir)
    if model is None:
        return run_verify(Path(results), data_dir=place)
    under_test = _subject(model, True, feature_layer, input_of(mean, std), single_logit, rejects)
    return run_verify(Path(results), networks=[under_test], data_dir=place)


def _subject(
    model: nn.Module | Callable[[Tensor], Any],
    kept: bool,
    feature_layer: str | None = None,
    given: Input | None = None,
    single_logit: bool = False,
    rejects: Rejects | None = None,
) -> NetworkUnderTest:
    """Describe a network or a callable, with the identity that distinguishes its records."""
    if isinstance(model, nn.Module) and not isinstance(model, Service):
        network = with_outputs(normalised(model, given or Input()), single_logit, rejects)
        identity = network_identity(network, feature_layer)
        return NetworkUnderTest(
            f"data/{type(model).__name__}",
            identity,
            lambda: network,
            feature_layer=feature_layer,
            normalisation=Normalisation.of(
                given or Input(), "as said" if given is not None else "mean and std left out"
            ),
            remark=remark_on(rejects),
            rejects=rejects,
        )
    if not callable(model) or isinstance(model, type):
        raise InputError(f"the network is a {type(model).__name__}, expected a torch.nn.Module or a callable.")
    if given is not None:
        raise InputError("a callable gets images in [0, 1]: normalise them in it, and leave mean and std out.")
    if feature_layer is not None:
        raise InputError("a callable shows no features: leave feature_layer out.")
    if isinstance(model, Service):
        if single_logit and not model.single_logit:
            raise InputError(f"the service itself says it: robench.Service(ask, '{model.name}', single_logit=True).")
        if rejects not in (None, model.rejects):
            raise InputError(f"the service itself says it: robench.Service(ask, '{model.name}', rejects={rejects!r}).")
        remark = remark_on(model.rejects)
        name = f"data/{model.name}"
        return NetworkUnderTest(name, model.identity(), lambda: model, model, remark=remark, rejects=model.rejects)
    if kept:
        raise InputError(
            "a callable has no weights that distinguish its records: name it and its version, "
            "robench.Service(ask, 'vision-api-3')."
        )
    return _subject(Service(model, type(model).__name__, single_logit=single_logit, rejects=rejects), kept)


def _everyone(x: Any, ids: Any, split: Split) -> Tensor:
    """Return the ids of all examples that were given, before `limit`."""
    if ids is not None:
        return torch.as_tensor(np.asarray(ids), dtype=torch.int64)
    return torch.arange(split.about.total or len(split))


def _mask(mask: Any) -> MaskValues:
    if isinstance(mask, str | Path):
        return read_mask(Path(mask), "mask")
    return MaskValues(exact(mask.detach().cpu() if isinstance(mask, Tensor) else mask, "mask"))


def _loader(network: nn.Module) -> Callable[[], nn.Module]:
    return lambda: network
