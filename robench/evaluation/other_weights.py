"""A card's network with other weights than the card's, as `robench card init --force` would write it."""

from pathlib import Path

from robench.classifiers.saved import saved_sha256
from robench.classifiers.sources import resolve
from robench.evaluation.request import NetworkUnderTest
from robench.specs import Card, NetworkSpec, Normalisation


def with_weights(card: Card, file: Path, key: str | None = None) -> NetworkUnderTest:
    """Take the network of a card with the weights of a file.

    Its identity is that of the card once the card has these weights; its name contains a digest of the weights.

    Args:
        card: declares the network; the weights beside it are not read.
        file: the checkpoint.
        key: the part to take if the checkpoint holds several networks.

    Raises:
        InputError: the network cannot be made, or the weights do not fit it.
    """
    ready = resolve(NetworkSpec(str(card.folder), file, key=key))
    sha256 = saved_sha256(ready.network)
    said = f"weights of {file.name}" if sha256 != card.sha256 else ""
    return NetworkUnderTest(
        f"{card.label}/{card.folder.name}@{sha256[:8]}",
        card.model_copy(update={"sha256": sha256}).identity(),
        lambda: ready.network,
        feature_layer=card.feature_layer,
        normalisation=Normalisation.of(card.input, "of the card"),
        remark="; ".join(each for each in (said, ready.remark) if each),
        rejects=card.rejects,
    )
