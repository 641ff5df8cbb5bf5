"""What gradients show: hard examples in training (Fig. 3), feature normalisation in the attack (Table 7)."""

from collections import defaultdict
from pathlib import Path
from statistics import fmean, median

import torch

from robench.classifiers import Classifier, load_card
from robench.data import find_dataset
from robench.losses import he_cross_entropy
from robench.report import Table
from robench.reproduce.workshop import PAPER, Product, Workshop, published
from robench.specs import Card
from robench.training.frameworks.base import attack_loss
from robench.training.net import Net
from robench.training.perturb import Perturber

EXAMPLES = 256


def hard_examples(shop: Workshop) -> list[Product]:
    """Fig. 3: E(|grad L(x*)| / |grad L(x)|) for each group of parameters, x* made by the training attack."""
    ratios = {name: _ratios(shop, shop.card(name)) for name in ("pgdat", "pgdat_he")}
    groups = list(ratios["pgdat"])
    table = Table(
        "Weight-gradient norm on adversarial over clean examples (Fig. 3)",
        "parameters",
        [f"{name} {kind}" for name in ratios for kind in ("median", "mean")],
        [shop.setting(), f"The first {EXAMPLES} training examples; the head's bias exists without HE only.",
         "The paper prints no numbers for this figure; it reports higher ratios with HE.",
            "The mean is ruled by the few examples whose clean loss is almost zero; the picture shows the median."],
    )  # fmt: skip
    for group in groups:
        cells = {}
        for name, mine in ratios.items():
            if group in mine:
                cells.update(
                    {f"{name} median": f"{median(mine[group]):.3g}", f"{name} mean": f"{fmean(mine[group]):.3g}"}
                )
        table.add(group, cells)
    shared = [group for group in groups if all(group in mine for mine in ratios.values())]

    def draw(path: Path) -> None:
        from robench.reproduce.figures import bars

        series = {name: [median(mine[group]) for group in shared] for name, mine in ratios.items()}
        bars(path, shared, series, "median gradient-norm ratio")

    return [Product("fig3", table, draw)]


def _ratios(shop: Workshop, card: Card) -> dict[str, list[float]]:
    """The ratio for each group of parameters and each example."""
    model = load_card(card).to(shop.device)
    split = find_dataset(shop.dataset).load("train", shop.data_dir, EXAMPLES)
    x, y = split.x.to(shop.device), split.y.to(shop.device)
    net = Net(model, model, "fp32", shop.device)
    perturb = Perturber.of(card.recipe, torch.Generator().manual_seed(0))
    perturbed = perturb(net, x, attack_loss(y, net.constants))
    ratios: dict[str, list[float]] = defaultdict(list)
    for at in range(len(x)):
        one = slice(at, at + 1)
        clean, adversarial = (_norms(model, images[one], y[one]) for images in (x, perturbed))
        for name, norm in adversarial.items():
            ratios[name].append(norm / max(clean[name], 1e-30))
    return dict(ratios)


def _norms(model: Classifier, x: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
    """The norm of the training loss's gradient for each parameter, in float64."""
    model = model.double()
    head = model.constants
    loss = he_cross_entropy(model(x.double()), y, head.scale, head.margin).sum()
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters)
    return {name: float(gradient.norm()) for name, gradient in zip(names, gradients, strict=True)}


def normalised_attack(shop: Workshop) -> list[Product]:
    """Table 7: feature normalisation in the attack on a standardly trained network."""
    card = shop.card("standard")
    rows = published("table7_fn_in_the_attack")
    names = [f"fn-{row['attack']}" if row["fn_in_objective"] == "yes" else row["attack"] for row in rows]
    evaluation = shop.evaluate(card, names)
    table = Table(
        "Feature normalisation in the attack's objective, standardly trained network (Table 7)",
        "attack",
        ["accuracy", "95% CI", "accuracy (paper)"],
        [shop.setting(), f"{PAPER} The network is trained on clean images."],
    )
    for row, name in zip(rows, names, strict=True):
        verdict = evaluation[name]
        table.add(
            f"{row['attack']}, {'with' if row['fn_in_objective'] == 'yes' else 'without'} FN",
            {
                "accuracy": f"{verdict.robust_accuracy:.2f}",
                "95% CI": f"{verdict.interval[0]:.1f}-{verdict.interval[1]:.1f}",
                "accuracy (paper)": row["accuracy"],
            },
        )
    return [Product("table7", table)]
