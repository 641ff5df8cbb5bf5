"""A network that can only be asked: any callable from images to scores or labels, a remote service for example."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robench.errors import InputError
from robench.paths import require_name
from robench.specs import Access

SCORES, LABELS = 2, 1
"""Dimensions of an answer."""


class AskError(Exception):
    """The callable raised: its own error is the cause, which nobody here may take for one of ours."""


class Service(nn.Module):
    """Images in, scores or labels out, every image counted, and no gradient.

    What is asked at a time is `batch_size` of the evaluation at most. Errors of the callable pass through as
    they are: retries are its own affair. Finished chunks are kept, so the same call goes on after one.

    Args:
        ask: takes images in [0, 1], a float32 tensor (M, C, H, W) on the CPU; returns scores (M, K), the
            larger the likelier, or labels (M,), integers; tensors, arrays or lists.
        name: tells it apart in records; another version of the service needs another name.
        classes: how many classes it knows; needed only where it returns labels.
        log: a file that gets a line a call, the number of images, before the call is made: the count
            survives an interruption, and is taken up again.
    """

    def __init__(
        self, ask: Callable[[Tensor], Any], name: str, *, classes: int | None = None, log: str | Path | None = None
    ) -> None:
        super().__init__()
        require_name(name, "the name of a service")
        if not callable(ask):
            raise InputError(f"service '{name}' is a {type(ask).__name__}, expected a callable.")
        # In a tuple: a network that is asked from afar is no part of this one, and stays where it is.
        self.asked, self.name, self.classes = (ask,), name, classes
        self.log = None if log is None else Path(log)
        self.sent = 0 if self.log is None else _total(self.log)
        self.access: Access | None = None
        self.eval()

    def identity(self) -> dict[str, Any]:
        """What tells its records apart."""
        return {"service": self.name}

    def forward(self, x: Tensor) -> Tensor:
        """Scores (M, K); of labels, 1 for the class and 0 for all others.

        Raises:
            InputError: the answer is neither scores nor labels of as many images, or its kind has changed.
        """
        self._count(len(x))
        try:
            reply = self.asked[0](x.detach().float().cpu())
        except Exception as error:
            raise AskError from error
        try:
            answer = torch.as_tensor(reply).to(x.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"service '{self.name}' answers with {type(reply).__name__}, expected scores (M, K) or labels (M,)."
            ) from error
        kind: Access = "score" if answer.dim() == SCORES else "decision"
        if answer.dim() not in (SCORES, LABELS) or len(answer) != len(x):
            raise InputError(
                f"service '{self.name}' answers with shape {tuple(answer.shape)} to {len(x)} images: "
                "expected scores (M, K) or labels (M,)."
            )
        if self.access not in (None, kind):
            raise InputError(f"service '{self.name}' answers now with scores, now with labels: let it do one.")
        self.access = kind
        return answer.float() if kind == "score" else self._one_hot(answer)

    def _one_hot(self, labels: Tensor) -> Tensor:
        if self.classes is None:
            raise InputError(
                f"service '{self.name}' gives labels: say how many classes there are, "
                f"robench.Service(ask, '{self.name}', classes=...)."
            )
        if labels.is_floating_point() or not ((labels >= 0) & (labels < self.classes)).all():
            raise InputError(f"service '{self.name}' gives labels that are not among 0 to {self.classes - 1}.")
        return F.one_hot(labels.long(), self.classes).float()

    def _count(self, images: int) -> None:
        self.sent += images
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as stream:
                stream.write(f"{images}\n")


def _total(log: Path) -> int:
    """What a log adds up to.

    Raises:
        InputError: it cannot be read or written, or is something else.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        return sum(map(int, log.read_text(encoding="utf-8").split()))
    except (OSError, ValueError) as error:
        raise InputError(f"'{log}' is no log of queries ({error}): name another file.") from error
