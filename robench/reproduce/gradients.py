"""Measure Fig. 3: the norms of the weights' gradients on adversarial and on clean examples."""

import csv
import io
from collections import defaultdict
from pathlib import Path
from statistics import fmean, median

import torch

from robench.classifiers import Classifier, load_card
from robench.data import find_dataset
from robench.data.split import Split
from robench.errors import InputError
from robench.numerics.losses import he_cross_entropy
from robench.paths import write_text
from robench.report.paper.gradients import COLUMNS, DEFENSES, EXAMPLES, measured
from robench.reproduce.run import ReproductionRun
from robench.specs import Card
from robench.training.frameworks.base import attack_loss
from robench.training.net import Net
from robench.training.perturb import Perturber

SEED = 0
"""Seed of the choice of examples."""


def measure(run: ReproductionRun) -> None:
    """Write E(|grad L(x*)| / |grad L(x)|) for each group of parameters, with x* from the training attack."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name in DEFENSES:
        for group, ratios in _ratios(run, run.card(name)).items():
            writer.writerow([name, group, f"{median(ratios):.3g}", f"{fmean(ratios):.3g}"])
    write_text(measured(run.results, run.dataset), stream.getvalue())


def training_examples(dataset: str, data_dir: Path | None) -> Split:
    """Return the training examples that are measured: every class in proportion, whatever the order of the data."""
    data = find_dataset(dataset)
    split = data.load("train", data_dir, EXAMPLES if data.partly else None)
    return split.sample(min(EXAMPLES, len(split)), SEED)


def _ratios(run: ReproductionRun, card: Card) -> dict[str, list[float]]:
    """Return the ratios of all examples for each group of parameters."""
    model = load_card(card).to(run.device)
    if not isinstance(model, Classifier):
        raise InputError(f"'{card.name}' is not built from a backbone and a head of robench.")
    split = training_examples(run.dataset, run.data_dir)
    x, y = split.x[:].to(run.device), split.y.to(run.device)
    net = Net(model, model, "fp32", run.device)
    perturb = Perturber.of(card.require_recipe(), torch.Generator().manual_seed(0))
    perturbed = perturb(net, x, attack_loss(y, net.constants))
    ratios: dict[str, list[float]] = defaultdict(list)
    for at in range(len(x)):
        one = slice(at, at + 1)
        clean, adversarial = (_norms(model, images[one], y[one]) for images in (x, perturbed))
        for name, norm in adversarial.items():
            ratios[name].append(norm / max(clean[name], 1e-30))
    return dict(ratios)


def _norms(model: Classifier, x: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
    """Return the norm of the training loss's gradient for each parameter, computed in float64."""
    model = model.double()
    head = model.constants
    loss = he_cross_entropy(model(x.double()), y, head.scale, head.margin).sum()
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters)
    return {name: float(gradient.norm()) for name, gradient in zip(names, gradients, strict=True)}
