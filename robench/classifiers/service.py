"""Networks that only answer queries: any callable from images to scores or labels, for example a remote service."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robench.classifiers.rejecting import PAIR, checked, with_flag
from robench.classifiers.single_logit import two_logits
from robench.errors import InputError
from robench.paths import require_name
from robench.specs import Access
from robench.specs.settings import Rejects

SCORES, LABELS = 2, 1
"""Number of dimensions of an answer."""


class AskError(Exception):
    """Error of the user's callable, which is the cause; wrapped so that it is not taken for an error of robench."""


class Service(nn.Module):
    """Ask a callable for scores or labels of images, and count every image; there is no gradient.

    One call gets at most the evaluation's `batch_size` images. Errors of the callable pass through unchanged:
    retries are the callable's task. Finished chunks and the last checkpoint are kept, so the same evaluation can
    continue after an error.

    Args:
        ask: takes images in [0, 1], a float32 tensor (M, C, H, W) on the CPU; returns scores (M, K), the
            larger the likelier, or labels (M,), integers; tensors, arrays or lists.
        name: distinguishes the service in records; another version of the service needs another name.
        classes: number of classes; needed only if the callable returns labels.
        single_logit: whether the callable returns one number z for each image, the logit of class 1 of two classes.
        rejects: "logit" if the last of K+1 scores, or the label K, rejects an image; "flag" if the callable returns a
            pair of its answers and of scores (M,), which reject an image if they are above 0, or True.
        log: a file that gets one line per call, the number of images, before the call is made: the count
            survives an interruption and continues.
    """

    def __init__(
        self,
        ask: Callable[[Tensor], Any],
        name: str,
        *,
        classes: int | None = None,
        single_logit: bool = False,
        rejects: Rejects | None = None,
        log: str | Path | None = None,
    ) -> None:
        super().__init__()
        require_name(name, "the name of a service")
        if not callable(ask):
            raise InputError(f"service '{name}' is a {type(ask).__name__}, expected a callable.")
        # In a tuple: a callable that is a network must not become a submodule, and stays on its device.
        self.asked, self.name, self.classes, self.single_logit = (ask,), name, classes, single_logit
        self.rejects = checked(rejects, single_logit)
        self.log = None if log is None else Path(log)
        self.sent = 0 if self.log is None else _total(self.log)
        self.access: Access | None = None
        self.eval()

    def identity(self) -> dict[str, Any]:
        """Return the fields that distinguish the service in records."""
        said = {"single_logit": self.single_logit or None, "rejects": self.rejects}
        return {"service": self.name} | {key: value for key, value in said.items() if value is not None}

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (M, K), with one more for rejections; labels become 1 for the class and 0 for all others.

        Raises:
            InputError: the answer is neither scores nor labels for all images, or its kind has changed.
        """
        self._count(len(x))
        try:
            reply = self.asked[0](x.detach().float().cpu())
        except Exception as error:
            raise AskError from error
        if self.rejects != "flag":
            return self._scores(reply, x, self.rejects == "logit")
        if not isinstance(reply, tuple | list) or len(reply) != PAIR:
            raise InputError(
                f"service '{self.name}' answers with {type(reply).__name__}, expected a pair of its answers and of "
                "scores (M,) that are above 0 for rejected images."
            )
        return with_flag(self._scores(reply[0], x, False), self._tensor(reply[1], x), len(x), f"service '{self.name}'")

    def _tensor(self, reply: object, x: Tensor) -> Tensor:
        try:
            return torch.as_tensor(reply).to(x.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"service '{self.name}' answers with {type(reply).__name__}, expected scores (M, K) or labels (M,)."
            ) from error

    def _scores(self, reply: object, x: Tensor, last_rejects: bool) -> Tensor:
        """Return scores (M, K), or (M, K+1) if the last rejects."""
        answer = self._tensor(reply, x)
        if self.single_logit:
            answer = two_logits(answer, len(x), f"service '{self.name}'")
        kind: Access = "score" if answer.dim() == SCORES else "decision"
        if answer.shape[1:] == (1,) or (answer.dim() == LABELS and answer.is_floating_point()):
            raise InputError(
                f"service '{self.name}' answers with one number for each image, no label: if it is the logit of class "
                "1 of two classes, add single_logit=True."
            )
        if answer.dim() not in (SCORES, LABELS) or len(answer) != len(x):
            raise InputError(
                f"service '{self.name}' answers with shape {tuple(answer.shape)} to {len(x)} images: "
                "expected scores (M, K) or labels (M,)."
            )
        if self.access not in (None, kind):
            raise InputError(f"service '{self.name}' mixes scores and labels in its answers: let it give one kind.")
        self.access = kind
        return answer.float() if kind == "score" else self._one_hot(answer, last_rejects)

    def _one_hot(self, labels: Tensor, last_rejects: bool) -> Tensor:
        if self.classes is None:
            raise InputError(
                f"service '{self.name}' gives labels: say how many classes there are, "
                f"robench.Service(ask, '{self.name}', classes=...)."
            )
        most = self.classes + last_rejects
        if labels.is_floating_point() or not ((labels >= 0) & (labels < most)).all():
            raise InputError(f"service '{self.name}' gives labels that are not among 0 to {most - 1}.")
        return F.one_hot(labels.long(), most).float()

    def _count(self, images: int) -> None:
        self.sent += images
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as stream:
                stream.write(f"{images}\n")


def _total(log: Path) -> int:
    """Return the number of images in a log.

    Raises:
        InputError: the log cannot be read or written, or holds something else.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        return sum(map(int, log.read_text(encoding="utf-8").split()))
    except (OSError, ValueError) as error:
        raise InputError(f"'{log}' is no log of queries ({error}): name another file.") from error
