"""The training loop: seeded, resumable, with accuracies on held-out training examples."""

import time
from collections.abc import Callable
from math import ceil, isfinite, nan
from pathlib import Path

import tomlkit
import torch
from torch import Tensor

from robench.classifiers import fit, make_classifier, read_weights, save_weights
from robench.data import dataset_of
from robench.errors import InputError
from robench.paths import write_text
from robench.specs import CARD, WEIGHTS, Card, digest
from robench.store.log import LOG, Epoch, write_log
from robench.training import checkpoint
from robench.training.examples import Examples, examples
from robench.training.frameworks import make_framework
from robench.training.frameworks.base import Framework, attack_loss
from robench.training.net import Net, in_mode
from robench.training.perturb import Perturber
from robench.training.processes import Team, team
from robench.training.schedule import schedule

OnEpoch = Callable[[Epoch], None]
BEST, LAST = "best.safetensors", "last.safetensors"
HELD_OUT_PERTURBATIONS = {"steps": 10, "rel_step": "1/4", "perturb_mode": "eval"}
"""Perturbations of held-out examples, for every framework: one-step training must not hide its overfitting."""
BATCH = 500
"""Number of held-out examples per forward pass."""


def train(
    card: Card,
    folder: Path,
    device: torch.device,
    on_epoch: OnEpoch,
    *,
    data_dir: Path | None = None,
    resume: bool = True,
) -> Path:
    """Train a card's defense; write weights, log and the card with the new checksum into `folder`.

    After an interruption, the same call continues after the last finished epoch and ends with the same weights.

    Args:
        card: the defense to train.
        folder: for the results and the checkpoint.
        device: of the only process; under `torchrun` each process takes another GPU.
        on_epoch: called with every finished epoch.
        data_dir: folder of downloaded datasets.
        resume: False starts over.

    Returns:
        The path of the new card.

    Raises:
        InputError: the recipe does not fit, the loss is not finite, or the checkpoint belongs to another recipe.
    """
    members = team(device)
    trainer = Trainer(card, folder, members, data_dir)
    if resume:
        trainer.resume()
    for epoch in trainer.history:
        on_epoch(epoch)
    while not trainer.finished:
        on_epoch(trainer.epoch())
    if members.is_main:
        trainer.publish()
    members.wait()
    return folder / CARD


class Trainer:
    """Network, optimiser and history of one training run."""

    def __init__(self, card: Card, folder: Path, members: Team, data_dir: Path | None) -> None:
        self.card, self.recipe, self.folder, self.team = card, card.require_recipe(), folder, members
        self.adversarial = make_framework(self.recipe.framework, self.recipe.args).adversarial
        self.examples: Examples = examples(dataset_of(card), self.recipe, data_dir)
        torch.manual_seed(self.recipe.seed)
        module = make_classifier(card).to(members.device)
        if self.recipe.channels_last:
            module = module.to(memory_format=torch.channels_last)
        self.net = Net(module, members.wrap(module), self.recipe.precision, members.device, self.recipe.channels_last)
        self.optimizer = torch.optim.SGD(
            module.parameters(), self.recipe.lr, self.recipe.momentum, weight_decay=self.recipe.weight_decay
        )
        if not len(self.examples):
            raise InputError(f"{card.where}, key 'recipe.holdout': nothing is left to train on.")
        if not len(self.examples.held) and (self.recipe.patience or self.recipe.keep == "best"):
            raise InputError(f"{card.where}, key 'recipe.holdout': patience and keep = 'best' need held-out examples.")
        batches = ceil(len(self.examples) / self.recipe.batch_size)
        self.schedule = schedule(self.recipe, self.optimizer, batches)
        self.key = digest(card.recipe_identity())
        self.history: list[Epoch] = []

    @property
    def finished(self) -> bool:
        """True if all epochs are done, or patience has run out."""
        done, patience = len(self.history), self.recipe.patience
        if patience and done and done - self._best() >= patience:
            return True
        return done >= self.recipe.epochs

    def epoch(self) -> Epoch:
        """Train for one epoch, measure accuracies on the held-out examples, and write a checkpoint."""
        begin, number = time.perf_counter(), len(self.history) + 1
        seed = self.recipe.seed * 1_000_003 + number
        order = torch.Generator().manual_seed(seed)
        draws = torch.Generator().manual_seed(seed + 500_000_000 * (self.team.rank + 1))
        framework = make_framework(self.recipe.framework, self.recipe.args)
        perturb = Perturber.of(self.recipe, draws)
        self.net.module.train()
        size = self.recipe.batch_size
        parts = [self.team.share(at) for at in torch.randperm(len(self.examples), generator=order).split(size)]
        batches = self.examples.batches([rows for rows, _ in parts], draws)
        losses: list[float] = []
        for (x, y), (_, weight) in zip(batches, parts, strict=True):
            losses += self._update(framework, x.to(self.team.device), y.to(self.team.device), perturb, weight)
            self.schedule.step()
        trained = time.perf_counter() - begin
        clean, robust = self.team.agree(self._held_out_accuracies(draws))
        lr = float(self.schedule.get_last_lr()[0])
        self.history.append(Epoch(number, lr, sum(losses) / len(losses), clean, robust, trained))
        if self.team.is_main:
            self._save()
        return self.history[-1]

    def publish(self) -> None:
        """Write weights, log and card, and delete the checkpoint; the last weights stay beside the best."""
        if self.recipe.keep == "best":
            save_weights(self.net.module, self.folder / LAST)
            fit(self.net.module, read_weights(self.folder / BEST), BEST)
        sha256 = save_weights(self.net.module, self.folder / WEIGHTS)
        document = tomlkit.parse((self.card.folder / CARD).read_text(encoding="utf-8"))
        document["sha256"] = sha256
        write_log(self.folder / LOG, self.history)
        write_text(self.folder / CARD, tomlkit.dumps(document))
        (self.folder / checkpoint.CHECKPOINT).unlink(missing_ok=True)
        (self.folder / BEST).unlink(missing_ok=True)

    def resume(self) -> None:
        """Continue after the last finished epoch, if there is one."""
        found = checkpoint.load(self.folder, self.key)
        if found:
            self.history, state = found
            self.net.module.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])

    def _update(self, framework: Framework, x: Tensor, y: Tensor, perturb: Perturber, weight: float) -> list[float]:
        losses = []
        for loss in framework.losses(self.net, x, y, perturb):
            value = loss.item()
            if not isfinite(value):
                raise InputError(
                    f"'{self.card.name}': the loss is {value} in epoch {len(self.history) + 1}: "
                    "lower recipe.lr; the last finished epoch is kept."
                )
            self.optimizer.zero_grad()
            (weight * loss).backward()
            self.optimizer.step()
            losses.append(value)
        return losses

    def _held_out_accuracies(self, draws: torch.Generator) -> tuple[float, float]:
        """Return clean and robust accuracy in percent on the held-out training examples; NaN if there is none."""
        if not len(self.examples.held):
            return nan, nan
        correct, withstood = 0, 0
        perturb = Perturber.of(self.recipe.model_copy(update=HELD_OUT_PERTURBATIONS), draws)
        with in_mode(self.net.module, False):
            for start in range(0, len(self.examples.held), BATCH):
                x = self.examples.held.x[start : start + BATCH].to(self.team.device)
                y = self.examples.held.y[start : start + BATCH].to(self.team.device)
                correct += self._count(x, y)
                if self.adversarial:
                    withstood += self._count(perturb(self.net, x, attack_loss(y, self.net.constants)), y)
        share = 100.0 / len(self.examples.held)
        return correct * share, withstood * share if self.adversarial else nan

    def _count(self, x: Tensor, y: Tensor) -> int:
        with torch.no_grad():
            return int((self.net.infer(x).argmax(1) == y).sum())

    def _best(self) -> int:
        """Return the number of the best epoch so far; of equals, the first."""
        score = [e.robust_accuracy if self.adversarial else e.clean_accuracy for e in self.history]
        return score.index(max(score)) + 1

    def _save(self) -> None:
        if self.recipe.keep == "best" and self._best() == len(self.history):
            save_weights(self.net.module, self.folder / BEST)
        state = {
            "model": self.net.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        checkpoint.save(self.folder, self.key, self.history, state)
