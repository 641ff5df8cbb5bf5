"""A few images, their labels and their encoded form."""

import io

import numpy as np
import torch
from PIL import Image

RNG = np.random.default_rng(0)
N = 12
RAW = RNG.integers(0, 256, (N, 9, 7, 3), dtype=np.uint8)
LABELS = np.arange(N) % 3
FLOATS = torch.from_numpy(RAW).permute(0, 3, 1, 2).float() / 255


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
