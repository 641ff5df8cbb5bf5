"""The training loop: seeded, resumable, watched on held-out training examples."""

import time
from collections.abc import Callable
from math import isfinite, nan
from pathlib import Path

import tomlkit
import torch
from torch import Tensor

from robench.classifiers import Classifier, make_classifier, save_weights
from robench.data import find_dataset
from robench.errors import InputError
from robench.paths import write_text
from robench.specs import CARD, WEIGHTS, Card, digest
from robench.training import checkpoint
from robench.training.checkpoint import Epoch
from robench.training.frameworks import make_framework
from robench.training.frameworks.base import Framework, attack_loss
from robench.training.perturb import Perturber, evaluating

OnEpoch = Callable[[Epoch], None]


def train(card: Card, folder: Path, device: torch.device, on_epoch: OnEpoch) -> Path:
    """Train what a card declares; write weights, log and the card with the new checksum into `folder`.

    Interrupted, the same call goes on after the last finished epoch and ends with the same weights.

    Returns:
        The path of the new card.

    Raises:
        InputError: the recipe does not fit, the loss is not finite, or a checkpoint is of another recipe.
    """
    trainer = _Trainer(card, folder, device)
    for epoch in trainer.history:
        on_epoch(epoch)
    while len(trainer.history) < card.recipe.epochs:
        on_epoch(trainer.epoch())
    return trainer.publish()


class _Trainer:
    """Network, optimiser and history of one training run."""

    def __init__(self, card: Card, folder: Path, device: torch.device) -> None:
        self.card, self.folder, self.device = card, folder, device
        self.framework: Framework = make_framework(card.recipe.framework)
        if self.framework.adversarial and not (card.recipe.eps and card.recipe.steps):
            raise InputError(f"card '{card.name}', key 'recipe': '{card.recipe.framework}' needs eps and steps.")
        split = find_dataset(card.dataset).load("train")
        self.fit, self.held = split.stratified(card.recipe.holdout)
        torch.manual_seed(card.recipe.seed)
        self.model: Classifier = make_classifier(card).to(device)
        recipe = card.recipe
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay
        )
        batches = -(-len(self.fit) // recipe.batch_size)
        self.schedule = _schedule(recipe.schedule, self.optimizer, recipe.lr, recipe.epochs * batches)
        self.key = digest({**card.identity(), "weights": "", "recipe": recipe.model_dump()})
        self.history: list[Epoch] = []
        self._resume()

    def epoch(self) -> Epoch:
        """One pass over the training examples, then a look at the held-out ones and a checkpoint."""
        begin, number = time.perf_counter(), len(self.history) + 1
        generator = torch.Generator().manual_seed(self.card.recipe.seed * 1_000_003 + number)
        perturb = Perturber.of(self.card.recipe, generator) if self.framework.adversarial else None
        self.model.train()
        losses = []
        for rows in torch.randperm(len(self.fit), generator=generator).split(self.card.recipe.batch_size):
            losses += self._batch(self.fit.x[rows].to(self.device), self.fit.y[rows].to(self.device), perturb)
            self.schedule.step()
        clean, robust = self._look(generator)
        self.history.append(
            Epoch(
                epoch=number,
                lr=float(self.schedule.get_last_lr()[0]),
                loss=sum(losses) / len(losses),
                clean_accuracy=clean,
                robust_accuracy=robust,
                seconds=time.perf_counter() - begin,
            )
        )
        self._save()
        return self.history[-1]

    def publish(self) -> Path:
        """Write weights, log and card; the checkpoint has done its work."""
        sha256 = save_weights(self.model, self.folder / WEIGHTS)
        document = tomlkit.parse((self.card.folder / CARD).read_text(encoding="utf-8"))
        document["sha256"] = sha256
        path = self.folder / CARD
        write_text(path, tomlkit.dumps(document))
        checkpoint.write_log(self.folder / checkpoint.LOG, self.history)
        (self.folder / checkpoint.CHECKPOINT).unlink(missing_ok=True)
        return path

    def _batch(self, x: Tensor, y: Tensor, perturb: Perturber | None) -> list[float]:
        losses = []
        for loss in self.framework.losses(self.model, x, y, perturb):
            if not isfinite(loss.item()):
                raise InputError(
                    f"'{self.card.name}': the loss is {loss.item()} in epoch {len(self.history) + 1}: "
                    "lower recipe.lr; the last finished epoch is kept."
                )
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return losses

    def _look(self, generator: torch.Generator) -> tuple[float, float]:
        """Clean and robust accuracy in percent on the held-out training examples."""
        if not len(self.held):
            return nan, nan
        x, y = self.held.x.to(self.device), self.held.y.to(self.device)
        with evaluating(self.model):
            clean = self._accuracy(x, y)
            if not self.framework.adversarial:
                return clean, nan
            perturb = Perturber.of(self.card.recipe, generator)
            return clean, self._accuracy(perturb(self.model, x, attack_loss(y, self.model.constants)), y)

    def _accuracy(self, x: Tensor, y: Tensor) -> float:
        with torch.no_grad():
            return 100.0 * float((self.model(x).argmax(1) == y).double().mean())

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        checkpoint.save(self.folder, self.key, self.history, state)

    def _resume(self) -> None:
        found = checkpoint.load(self.folder, self.key)
        if found:
            self.history, state = found
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])


def _schedule(
    name: str, optimizer: torch.optim.Optimizer, lr: float, updates: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """`one_cycle` (Smith and Topin 2018): up to `lr` over a fifth of all mini-batches, then down to nearly 0."""
    if name == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, updates, pct_start=0.2, cycle_momentum=False)
