"""The evaluation transform of a library's network, by name: `timm:NAME`, `torchvision:NAME`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robench.errors import InputError
from robench.specs.network import HUBS

if TYPE_CHECKING:
    from PIL import Image

Transform = Callable[["Image.Image"], "Image.Image"]


@dataclass(frozen=True)
class LibraryTransform:
    """A transform as a library declares it, without its normalisation.

    Attributes:
        how: the declaration in words.
        apply: turns a decoded image into the one that the network was made for, resized and cropped.
    """

    how: str
    apply: Transform


@cache
def library_transform(name: str) -> LibraryTransform:
    """Return the evaluation transform of `timm:NAME` or `torchvision:NAME`, up to pixels in [0, 1].

    Raises:
        InputError: the library is not installed, or does not declare a transform for the name.
    """
    library, _, network = name.partition(":")
    try:
        declared, apply = {"timm": _timm, "torchvision": _torchvision}[library](network)
    except ImportError as error:
        raise InputError(f"--resize {name} needs {library}: pip install 'robench[{library}]'.") from error
    except Exception as error:  # an unknown name, a failed download: each library raises other errors
        said = (str(error) or type(error).__name__).splitlines()[0].rstrip(".: ")
        raise InputError(
            f"--resize {name}: {library} declares no transform for it ({said}): give --resize N and --crop N."
        ) from error
    words = ", ".join(f"{key} {_text(value)}" for key, value in declared.items())
    return LibraryTransform(f"resized as {name} ({words})", apply)


def _timm(name: str) -> tuple[dict[str, Any], Transform]:
    timm, data, models = (_library(each) for each in ("timm", "timm.data", "timm.models"))
    hub = next((name.removeprefix(each) for each in HUBS if name.startswith(each)), None)
    known = models.load_model_config_from_hf(hub)[0] if hub else timm.get_pretrained_cfg(name)
    known = known if known is None or isinstance(known, dict) else known.to_dict()
    if not known or not known.get("input_size"):
        raise ValueError(f"unknown name '{name}'")
    config = data.resolve_data_config(pretrained_cfg=known)
    # With the prefetcher timm leaves the scaling to [0, 1] and the normalisation to it, and gives bytes (C, H, W).
    transform = data.create_transform(**config, is_training=False, use_prefetcher=True)
    shown = {key: config[key] for key in ("input_size", "interpolation", "crop_pct", "crop_mode") if key in config}
    return shown, lambda image: _image(np.asarray(transform(image)))


def _torchvision(name: str) -> tuple[dict[str, Any], Transform]:
    from torchvision import models

    transform = models.get_model_weights(name).DEFAULT.transforms()
    shown = {key: getattr(transform, key) for key in ("resize_size", "crop_size", "interpolation", "antialias")}
    channels = len(transform.mean)
    transform.mean, transform.std = [0.0] * channels, [1.0] * channels

    # The transform divides bytes by 255; rounded, they are the same bytes again.
    return shown, lambda image: _image((transform(image) * 255).round().byte().numpy())


def _image(pixels: NDArray[np.uint8]) -> "Image.Image":
    """Make an image of bytes (C, H, W)."""
    from PIL import Image

    return Image.fromarray(pixels.transpose(1, 2, 0))


def _library(name: str) -> Any:
    """Import a module of a library, whose functions have no types."""
    return import_module(name)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " x ".join(map(str, value))
    return str(getattr(value, "value", value))
