"""Files beside records with stored points: the clean images, and the place that the network was loaded from."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robench.data import DATASETS
from robench.data.pixels import BLOCK, Pixels
from robench.data.split import Split
from robench.evaluation.request import EvaluationRequest
from robench.report.points import Points, read_points
from robench.specs import digest
from robench.store import Column, Store
from robench.store.examples import Examples, as_bytes, path_for, write_examples
from robench.store.origin import Origin, origin_path, write_origin
from robench.store.outcome import Outcome


def keep(request: EvaluationRequest, store: Store) -> None:
    """Write what is needed to judge the points of an evaluation again, also if nothing has to be computed.

    Clean images are not written if the dataset can be loaded by its name alone.
    """
    split, under_test = request.split, request.under_test
    folder = store.raw / request.dataset
    known = DATASETS.get(split.name)
    if known is None or known.in_files or known.partly:
        path = path_for(folder, split.identity())
        if not path.is_file():
            write_examples(path, examples_of(split))
    if under_test.spec is not None:
        path = origin_path(folder / under_test.model.rpartition("/")[2], digest(under_test.identity))
        write_origin(path, Origin.of(under_test.spec, under_test.files))


def points_of(request: EvaluationRequest, outcome: Outcome, images: Any, *, in_memory: bool) -> Points:
    """Return the points of an evaluation whose records are on disk.

    Args:
        request: the evaluation.
        outcome: its records, with points.
        images: the images as the caller gave them; points are given in the same form.
        in_memory: read the points now, because the records will be removed.
    """
    split = request.split
    paths = {result.record.header.hash: result.record.path for result in outcome.results}
    held = {key: read_points(path) if in_memory else path.absolute() for key, path in paths.items() if path}

    convert = partial(_as_tensor, device=images.device) if isinstance(images, Tensor) else _as_array
    return Points(split.ids.numpy(), tuple(split.x.shape[1:]), held, convert)


def _as_tensor(array: Column, device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device)


def _as_array(array: Column) -> Column:
    return array


def examples_of(split: Split) -> Examples:
    """Return the examples of a split as arrays; images that come from bytes become bytes again."""
    blocks = split.x.blocks() if isinstance(split.x, Pixels) else iter(split.x.split(BLOCK))
    found = _as_bytes(blocks)
    return Examples(split.x[:].numpy() if found is None else found, split.y.numpy(), split.ids.numpy())


def _as_bytes(blocks: Iterator[Tensor]) -> Column | None:
    found = []
    for block in blocks:
        each = as_bytes(block.numpy())
        if each is None:
            return None
        found.append(each)
    return np.concatenate(found)
