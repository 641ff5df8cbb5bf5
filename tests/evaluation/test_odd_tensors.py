"""Networks whose tensors hold no ordinary numbers: one sentence with the mend."""

import pytest
import torch
from torch import nn

from tests.support.toys import X, Y, refusal


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 4)).eval()


def with_weight(change):
    network = linear()
    network[1].weight = nn.Parameter(change(network[1].weight.detach()))
    return network


def partly_meta():
    network = linear()
    network.register_buffer("extra", torch.zeros(3, device="meta"))
    return network


def of_inference():
    with torch.inference_mode():
        return linear()


ODD = {
    "lazy layers": (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(4)).eval(), "is not initialised"),
    "no data": (lambda: linear().to("meta"), "has no data"),
    "a buffer without data": (partly_meta, "'extra' has no data"),
    "sparse, coordinates": (lambda: with_weight(torch.Tensor.to_sparse), "is sparse"),
    "sparse, rows": (lambda: with_weight(torch.Tensor.to_sparse_csr), "is sparse"),
    "inference tensors": (of_inference, "made under torch.inference_mode"),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize("kind", ODD)
def test_it_is_one_sentence(kind):
    make, words = ODD[kind]
    assert words in refusal(make(), x=X, y=Y)
