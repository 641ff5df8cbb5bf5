"""Pictures of broken examples (clean image, perturbation, adversarial image), from raw records with points."""

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from robench.errors import InputError
from robench.specs import ORDERS, Norm, is_registered
from robench.store import Column, Header, Record, Rows, read
from robench.store.examples import beside, read_images

Clean = Callable[[str, Column], Column]
"""A function from a dataset's name and ids to the clean test images, float32 (N, C, H, W).

It is called only if no clean images are kept beside the record. It raises InputError if the images are not available.
"""
ATTACKS, EXAMPLES = 4, 6
"""Number of attacks of a defense, strongest first, and number of examples of each attack in a gallery."""
COLOURS = {1: "L", 3: "RGB"}
"""Modes of images by number of channels."""
TOLERANCE = 1e-5
"""Largest difference between the stored distance of a point and its distance from the clean image, relative to
max(1, eps)."""


def gallery(records: Sequence[Record], clean: Clean) -> dict[str, Any]:
    """Return the pictures of one defense, and a note if there are none.

    Raises:
        InputError: a record is damaged.
    """
    kept = sorted(filter(_has_points, records), key=lambda record: record.robust_accuracy)[:ATTACKS]
    if not kept:
        model = records[0].header.model
        command = f"robench eval --model {model} --battery quick --save-adversarial"
        how = f"`{command}` keeps some" if is_registered(model) else "repeat `robench eval` with `--save-adversarial`"
        how += "; then make this page again."
        return {"attacks": [], "note": f"No adversarial images are kept for this defense: {how}"}
    stored = [(*_broken_examples(record), _beside_or(record, clean)) for record in kept]
    try:
        return {"attacks": [_of_attack(*each) for each in stored], "note": ""}
    except InputError as error:
        return {
            "attacks": [],
            "note": f"Adversarial images are kept, but the clean ones are not available: {error}",
        }


def _has_points(record: Record) -> bool:
    return record.header.has_adversarial and record.path is not None and record.path.suffix == ".parquet"


def _beside_or(record: Record, clean: Clean) -> Clean:
    """Return a function to the clean images that are kept beside a record, or `clean` if there are none."""
    assert record.path is not None
    kept = beside(record.path, record.header.identity["data"])
    return (lambda _, ids: read_images(kept, ids.tolist())) if kept.is_file() else clean


def _of_attack(header: Header, rows: Rows, clean: Clean) -> dict[str, Any]:
    originals = clean(header.dataset, rows.id) if len(rows) else np.empty(0)
    return {
        "attack": header.attack.name,
        "eps": str(header.threat),
        "examples": [_example(header, rows, place, original) for place, original in enumerate(originals)],
    }


def _broken_examples(record: Record) -> tuple[Header, Rows]:
    """Read some broken examples of a record, in its order: one of each label, then others up to `EXAMPLES`."""
    assert record.path is not None
    header, rows = read(record.path)
    broken = np.array([place for place, blob in enumerate(rows.adversarial) if blob is not None], dtype=np.int64)
    firsts = np.sort(np.unique(rows.label[broken], return_index=True)[1])
    others = np.setdiff1d(np.arange(len(broken)), firsts)
    return header, rows.take(np.sort(broken[np.concatenate([firsts, others])[:EXAMPLES]]))


def _example(header: Header, rows: Rows, place: int, original: Column) -> dict[str, Any]:
    point = np.frombuffer(rows.adversarial[place], dtype="<f4")
    if point.size != original.size:
        raise InputError(f"example {rows.id[place]} of '{header.dataset}' has another shape in the dataset here.")
    point = point.reshape(original.shape)
    change = point.astype(np.float64) - original
    if abs(_length(change, header.threat.norm) - rows.distance[place]) > TOLERANCE * max(1.0, header.threat.eps):
        raise InputError(f"example {rows.id[place]} of '{header.dataset}' is another image in the dataset here.")
    largest = float(np.abs(change).max()) or 1.0
    pictures = (original, 0.5 + change / (2 * largest), point)
    return {
        "id": int(rows.id[place]),
        "label": int(rows.label[place]),
        "clean_prediction": int(rows.clean_prediction[place]),
        "prediction": int(rows.prediction[place]),
        "distance": round(float(rows.distance[place]), 6),
        "largest": round(largest, 6),
        "channels": shown_channels(len(original)),
        "images": [png(picture) for picture in pictures],
    }


def _length(change: Column, norm: Norm) -> float:
    return float(np.linalg.norm(change.ravel(), ORDERS[norm]))


def shown_channels(channels: int) -> str:
    """Say which channels a picture shows; empty if it shows all of them."""
    return "" if channels in COLOURS else f"channel{'s 1 to 3' if channels > 3 else ' 1'} of {channels}"


def png(picture: Column) -> str:
    """Return an image in [0, 1], (C, H, W), as a data URI of a PNG file; of two or more than three channels, a part."""
    picture = picture if len(picture) in COLOURS else picture[: 3 if len(picture) > 3 else 1]
    pixels = np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8).transpose(1, 2, 0)
    stream = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels, COLOURS[pixels.shape[2]]).save(
        stream, format="PNG", optimize=True
    )
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
