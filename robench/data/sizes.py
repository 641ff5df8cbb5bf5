"""`--resize`: a number of pixels, or the network whose library says how its images are resized and cropped."""

from robench.errors import InputError
from robench.specs import Card, NetworkSpec
from robench.specs.network import LIBRARIES

AUTO = "auto"
"""Value of --resize for the transform of the network's library."""
ENCODED = ("folder", "parquet")
"""Kinds of user data that hold encoded images, of any size, and may name classes."""

Size = int | str
"""Pixels of the shorter side; or `timm:NAME`, `torchvision:NAME`; or `auto`, until the network is known."""


def read_size(text: str | None) -> Size | None:
    """Return the value of `--resize`.

    Raises:
        InputError: the text is no size.
    """
    if text is None or text == AUTO or is_library(text):
        return text
    try:
        return int(text)
    except ValueError:
        raise InputError(
            f"--resize '{text}' is no size: give a number of pixels, auto, or a network such as timm:resnet18."
        ) from None


def is_library(text: str) -> bool:
    """Return whether a text names a library's network, `timm:NAME` or `torchvision:NAME`."""
    library, colon, name = text.partition(":")
    return bool(colon and name) and library in LIBRARIES


def library_of(network: NetworkSpec, card: Card | None) -> str:
    """Return `timm:NAME` or `torchvision:NAME` of a network, for `--resize auto`.

    Args:
        network: as the command line describes it.
        card: its card, if it has one.

    Raises:
        InputError: the network is of no library.
    """
    if network.kind == "library":
        return network.name
    name = "" if card is None else f"{card.architecture.name}:{card.architecture.args.get('name', '')}"
    if not is_library(name):
        raise InputError(
            f"--resize auto is for {' and '.join(f'{each}:NAME' for each in LIBRARIES)}: for --model {network.name} "
            "give --resize N and --crop N, or a network such as --resize timm:resnet18."
        )
    return name
