"""Micro-batches and what they do when memory runs out."""

import gc

import pytest
import torch
from torch import Tensor, nn

from robench.access.microbatches import GRAPH, ROOM, MicroBatcher
from robench.errors import InputError


def test_memory_that_allows_one_image_is_enough():
    batcher, seen = MicroBatcher(8, 16), []

    def greedy(x):
        seen.append(len(x))
        if len(x) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x

    x = torch.arange(5.0)
    assert torch.equal(batcher(greedy, x, differentiates=False), x)
    assert (batcher.size, batcher.forward_size) == (1, 1)
    assert seen[0] == 5
    assert torch.equal(batcher(greedy, x), x)


def test_memory_that_allows_none_is_not():
    def never(x):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(InputError, match="single example"):
        MicroBatcher(4, 8)(never, torch.zeros(3), differentiates=False)


WIDE = 1000
"""Floats that each layer of the network below keeps for the way back."""


class Deep(nn.Module):
    """So many layers that each keep WIDE floats an example; remembers the sizes of its micro-batches."""

    def __init__(self, layers):
        super().__init__()
        self.layers, self.seen = layers, []

    def forward(self, x):
        self.seen.append(len(x))
        z = x.expand(-1, WIDE)
        for _ in range(self.layers):
            z = z.sin()
        return z.sum(1)

    def slope(self, x):
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(self(x).sum(), x)[0]


def test_a_graph_that_grows_too_large_halves_the_micro_batch_for_good():
    network, x = Deep(10), torch.linspace(0, 1, 50)[:, None]
    whole = network.slope(x)
    network.seen.clear()
    batcher = MicroBatcher(64, 128, graph=13 * 10 * WIDE * 4)
    assert torch.equal(batcher(network.slope, x), whole)
    assert network.seen == [50, 25, 12, 12, 12, 12, 2]
    assert (batcher.size, batcher.forward_size) == (12, 32)
    network.seen.clear()
    batcher(network.slope, x)
    assert network.seen == [12, 12, 12, 12, 2]


def test_a_single_example_may_have_what_it_needs():
    network, x = Deep(10), torch.linspace(0, 1, 3)[:, None]
    batcher = MicroBatcher(64, graph=WIDE)
    assert torch.equal(batcher(network.slope, x), network.slope(x))
    assert batcher.size == 1


def test_weights_count_once():
    network = nn.Sequential(*[nn.Linear(WIDE, WIDE, bias=False)] * 20)
    x = torch.ones(4, WIDE, requires_grad=True)
    batcher = MicroBatcher(4, graph=(WIDE + 21 * 4) * WIDE * 4)
    batcher(lambda part: torch.autograd.grad(network(part).sum(), part)[0], x)
    assert batcher.size == 4


def test_passes_forwards_keep_nothing():
    network, x = Deep(10), torch.linspace(0, 1, 50)[:, None]
    with torch.no_grad():
        MicroBatcher(64, graph=1)(network, x, differentiates=False)
    assert network.seen == [50]


def slope_by_torch_func(x):
    x = x.detach().requires_grad_()
    inner = torch.func.grad(lambda z: z.square().sum())(x)
    return torch.autograd.grad((x * inner).sum(), x)[0]


def test_a_network_that_differentiates_with_torch_func_is_not_watched():
    batcher, x = MicroBatcher(2, graph=GRAPH), torch.arange(5.0)
    assert torch.equal(batcher(slope_by_torch_func, x), 4 * x)
    assert batcher.graph is None


def test_nor_is_its_micro_batch_cut():
    batcher = MicroBatcher.of(None, torch.device("cpu"))
    batcher.fit(slope_by_torch_func, torch.zeros(2))
    assert batcher.size == 128


@pytest.mark.parametrize(
    ("floats", "size"), [(1, 128), (ROOM // 4 // 128, 128), (ROOM // 4 // 100, 64), (ROOM // 4 // 17, 16), (ROOM, 16)]
)
def test_a_micro_batch_is_cut_to_what_graphs_weigh(floats, size):
    def graph(part):
        return part.requires_grad_().expand(-1, floats).exp().sum()  # keeps what exp gives

    batcher = MicroBatcher.of(None, torch.device("cpu"))
    batcher.fit(graph, torch.zeros(2, 1))
    assert (batcher.size, batcher.forward_size) == (size, 2 * size)


def test_weights_do_not_count_for_the_size_of_a_micro_batch():
    batcher, large = MicroBatcher.of(None, torch.device("cpu")), torch.zeros(1, ROOM // 4)
    batcher.fit(lambda part: part.requires_grad_() @ large, torch.zeros(2, 1))
    assert batcher.size == 128


def test_a_micro_batch_where_memory_holds_no_pair():
    def small(part):
        if len(part) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return part

    batcher = MicroBatcher.of(None, torch.device("cpu"))
    batcher.fit(small, torch.zeros(2, 1))
    assert (batcher.size, batcher.forward_size) == (1, 2)


@pytest.mark.parametrize("error", [RuntimeError("Can't call numpy() on Tensor that requires grad"), TypeError("no")])
def test_what_cannot_be_measured_stays_as_it_is(error):
    def leaves_torch(part):
        raise error

    batcher = MicroBatcher.of(None, torch.device("cpu")).cautious()
    assert (batcher.size, batcher.forward_size) == (128, 32)
    batcher.fit(leaves_torch, torch.zeros(2, 1))
    assert (batcher.size, batcher.forward_size) == (128, 256)


def test_a_pair_is_weighed_within_the_limit():
    seen = []

    def graph(part):
        seen.append(len(part))
        for _ in range(4):
            part = part.requires_grad_().expand(-1, WIDE).exp()[:, :1]
        return part

    batcher = MicroBatcher(128, graph=4 * 4 * WIDE + 100)
    batcher.fit(graph, torch.zeros(2, 1))
    assert seen == [1, 2]
    assert batcher.size == 1


def test_a_size_that_was_halved_for_good_does_not_grow_again():
    batcher = MicroBatcher.of(None, torch.device("cpu")).cautious()

    def greedy(part):
        if len(part) > 8:
            raise torch.OutOfMemoryError("out of memory")
        return part

    batcher(greedy, torch.zeros(40, 1), differentiates=False)
    batcher.fit(lambda part: part.requires_grad_().exp(), torch.zeros(2, 1))
    assert (batcher.size, batcher.forward_size) == (8, 8)


def test_another_process_takes_the_size_that_fits():
    batcher = MicroBatcher.of(None, torch.device("cpu"))
    batcher.fit(lambda part: part.requires_grad_().expand(-1, ROOM // 64).exp(), torch.zeros(2, 1))
    there = batcher.on(torch.device("cpu"))
    assert (there.size, there.forward_size, there.asked) == (batcher.size, batcher.forward_size, None) == (16, 32, None)
    assert MicroBatcher.of(7, torch.device("cpu")).on(torch.device("cpu")).size == 7


def test_only_what_is_chosen_on_a_cpu_is_watched():
    assert MicroBatcher.of(None, torch.device("cpu")).graph == GRAPH
    assert MicroBatcher.of(None, torch.device("cuda")).graph is None
    assert MicroBatcher.of(64, torch.device("cpu")).graph is None


def tensors():
    gc.collect()
    return sum(issubclass(type(each), Tensor) for each in gc.get_objects())


def test_a_graph_leaves_nothing_behind():
    network, x = nn.Sequential(*[nn.Sigmoid() for _ in range(20)]), torch.rand(4, 3)

    def slopes(part):
        part = part.detach().requires_grad_()
        values = network(part).sum(0)
        return torch.stack([torch.autograd.grad(value, part, retain_graph=True)[0] for value in values], 1)

    before = tensors()
    MicroBatcher(4, graph=GRAPH)(slopes, x)  # its graph is kept to the end, so nothing but its end frees it
    assert tensors() == before
    batcher = MicroBatcher(4, graph=300)  # ended on the way
    batcher(slopes, x)
    assert batcher.size == 1
    assert tensors() == before


def test_a_network_may_differentiate_twice_while_it_is_watched():
    network = nn.Sequential(nn.Linear(3, 5), nn.Sigmoid(), nn.Linear(5, 2), nn.Tanh())

    def slope(part):
        part = part.detach().requires_grad_()
        (inner,) = torch.autograd.grad(network(part).square().sum(), part, create_graph=True)
        return torch.autograd.grad((inner * part).sum(), part)[0]

    x = torch.rand(4, 3)
    assert torch.equal(MicroBatcher(4, graph=GRAPH)(slope, x), slope(x))
