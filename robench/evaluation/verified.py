"""The network and the clean images with which stored points are judged again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from robench.data import DATASETS, dataset_of, stored_mask
from robench.data.split import Split
from robench.errors import InputError
from robench.evaluation.request import NetworkUnderTest
from robench.specs import Card, digest, find_card, is_registered
from robench.store import Column, Header, Rows, ids_sha256
from robench.store.examples import MEND, Examples, as_floats, beside, read_examples
from robench.store.origin import origin_path, read_origin

OTHER = "the network is not the one that was evaluated: its weights, code or settings differ"
UNKNOWN = (
    "it is not known where the network was loaded from: name it as for `robench eval`, e.g. --model FILE.py:FUNCTION "
    "--weights FILE, or in Python call robench.verify(results, network)."
)
IN_RESULTS = "its code lies in the folder of results itself: if you trust it, name the network, {how}."
NOT_KEPT = (
    "its clean images were not kept: repeat the evaluation with --save-adversarial, which computes nothing again."
)


@dataclass
class Sources:
    """The networks and the clean images of records, each loaded once while records follow that share it.

    Attributes:
        results: the folder of the records; code that lies in it is not run unless the user names it.
        cards: defenses that the user names by their cards.
        named: networks that the user names.
        data_dir: folder of downloaded datasets.
    """

    results: Path
    cards: dict[str, Card] = field(default_factory=dict)
    named: Sequence[NetworkUnderTest] = ()
    data_dir: Path | None = None
    _network: tuple[str, nn.Module] | None = None
    _examples: tuple[str, Split | Examples] | None = None

    def network(self, header: Header, record: Path) -> nn.Module:
        """Load the network of a record: one that the user names, a registered one, or that of the record's origin.

        Raises:
            InputError: there is no such network, or it is not the one that was evaluated.
        """
        identity = header.model_identity
        if self._network is None or self._network[0] != identity:
            self._network = None
            self._network = identity, self._load(header, record)
        return self._network[1]

    def _load(self, header: Header, record: Path) -> nn.Module:
        for named in self.named:
            if is_of(header, named):
                return named.load()
        if any(has_label(header, named) for named in self.named):
            raise InputError(f"{OTHER}.")
        card = self._card(header)
        if card is not None and digest(card.identity()) == header.model_identity:
            return NetworkUnderTest.of_card(card).load()
        origin = read_origin(origin_path(record.parent, header.model_identity))
        if origin is None:
            raise InputError(UNKNOWN if card is None else "made with other weights than the card's.")
        if origin.network.kind in ("function", "card") and self._holds([*map(Path, origin.files), *origin.named]):
            raise InputError(IN_RESULTS.format(how=origin.how))
        origin.require_unchanged()
        if origin.network.plain:
            found = NetworkUnderTest.of_card(find_card(origin.network.name))
        else:
            found = NetworkUnderTest.of_user(origin.network, header.dataset)
        if not is_of(header, found):
            raise InputError(f"{OTHER}{_versions(header, found)}; it was {origin.network.name}.")
        return found.load()

    def _card(self, header: Header) -> Card | None:
        if header.model in self.cards or not is_registered(header.model):
            return self.cards.get(header.model)
        return find_card(header.model)

    def _holds(self, files: Iterable[Path]) -> bool:
        folder = self.results.resolve()
        return any(file.resolve().is_relative_to(folder) for file in files)

    def clean(self, header: Header, record: Path, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return clean images and labels of some rows of a record: of its dataset, or as they were kept beside it.

        Raises:
            InputError: they are not there, or others than those that were evaluated.
        """
        found = self.examples(header, record)
        places = {int(each): place for place, each in enumerate(found.ids.tolist())}
        if any(each not in places for each in rows.id.tolist()):
            raise InputError("the dataset has no example with some of its ids.")
        at = np.array([places[each] for each in rows.id.tolist()], dtype=np.int64)
        if found.y[at].tolist() != rows.label.tolist():
            raise InputError("its labels are not those of the dataset.")
        x = torch.from_numpy(as_floats(found.x[at])) if isinstance(found, Examples) else found.x[torch.from_numpy(at)]
        return x, torch.from_numpy(rows.label)

    def examples(self, header: Header, record: Path) -> Split | Examples:
        """Return the whole dataset of a record, or the examples that were kept beside it.

        Raises:
            InputError: they are not there, or others than those that were evaluated.
        """
        key = digest(header.identity["data"])
        if self._examples is None or self._examples[0] != key:
            self._examples = None
            self._examples = key, self._load_examples(header, record)
        return self._examples[1]

    def _load_examples(self, header: Header, record: Path) -> Split | Examples:
        data, card = header.identity["data"], self._card(header)
        known = DATASETS.get(header.dataset)
        if known is None and card is not None and card.label == header.dataset:
            known = dataset_of(card)
        path = beside(record, data)
        # Kept images come second: who forges points could forge them, too.
        if path.is_file() and (known is None or known.in_files or known.partly):
            kept = read_examples(path)
            if (len(kept.ids), ids_sha256(kept.ids)) != (data["n"], data["ids"]):
                raise InputError(f"the clean images in '{path}' are others than those that were evaluated: {MEND}.")
            return kept
        if known is None:
            raise InputError(NOT_KEPT)
        split = known.load("test", self.data_dir)
        if split.sha256 != data["sha256"]:
            raise InputError("made with other data than the dataset's.")
        return split


def mask_of(header: Header, record: Path, ids: Column) -> Tensor | None:
    """Load the mask of the examples of a record with some ids, bool (M, ...); None if it has none.

    Raises:
        InputError: the mask is not beside the record.
    """
    if header.mask is None:
        return None
    folder, named = record.parents[1] / stored_mask.FOLDER, torch.from_numpy(ids)
    found = stored_mask.stored_mask(folder, header.mask.sha256, named)
    if found is None:
        raise InputError(f"its mask is not in '{folder}': repeat the evaluation.")
    return found.of_ids(named)


def is_of(header: Header, network: NetworkUnderTest) -> bool:
    """Return whether a record is of this very network; a network in memory has no code to compare."""
    said, found = header.identity["model"], network.identity
    if "code" not in said:
        found = {key: value for key, value in found.items() if key != "code"}
    return bool(said == found)


def has_label(header: Header, network: NetworkUnderTest) -> bool:
    """Return whether a record's network has the same name, apart from dataset and digest."""
    return _bare(header.model) == _bare(network.model)


def _versions(header: Header, found: NetworkUnderTest) -> str:
    """Name the version of a library that differs, if one does."""
    before, now = (identity.get("code", "") for identity in (header.identity["model"], found.identity))
    return f" ({before}, here {now})" if before != now and " " in before else ""


def _bare(model: str) -> str:
    return model.rpartition("/")[2].partition("@")[0]
