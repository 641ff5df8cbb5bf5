"""Arithmetic of a forward pass: float32, TF32 or bfloat16."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from robench.specs.settings import Precision

KNOBS = (
    torch.backends.cuda.matmul,
    torch.backends.cudnn.conv,  # type: ignore[attr-defined]
    torch.backends.mkldnn.matmul,  # type: ignore[attr-defined]
    torch.backends.mkldnn.conv,  # type: ignore[attr-defined]
)
"""Settings of torch for float32 products and convolutions; convolutions on a GPU default to TF32."""


@contextmanager
def arithmetic(precision: Precision, device: torch.device) -> Iterator[None]:
    """Run the body in full float32, with TF32 matrix units, or under bfloat16 autocast; then restore the settings."""
    before = [knob.fp32_precision for knob in KNOBS]
    gpu = "tf32" if precision == "tf32" else "ieee"
    try:
        for knob, wanted in zip(KNOBS, (gpu, gpu, "ieee", "ieee"), strict=True):
            knob.fp32_precision = wanted
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        for knob, was in zip(KNOBS, before, strict=True):
            knob.fp32_precision = was
