"""How many examples go together."""

import pytest
import torch

import robench
from robench.access.microbatches import MicroBatcher
from robench.engine.sizing import chunk_for
from tests.support.toys import Toy, X, evaluate


@pytest.mark.parametrize(
    ("shape", "micro", "size"),
    [
        ((1, 8, 8), 128, 1024),
        ((3, 32, 32), 128, 256),
        ((3, 32, 32), 16, 170),
        ((3, 224, 224), 16, 32),
        ((1, 8, 8), 2048, 1024),
    ],
)
def test_large_images_advance_in_smaller_chunks(shape, micro, size):
    assert chunk_for(torch.zeros(3, *shape), MicroBatcher(micro)) == size


class LeavesTorch(Toy):
    """As a network of another framework would."""

    def forward(self, x):
        return torch.from_numpy(super().forward(x).numpy())


def test_a_network_that_leaves_torch_can_still_be_asked_for_scores():
    assert evaluate(LeavesTorch(), attacks=["square"], max_queries=50).results[0].record.robust.any()


class Remembers(Toy):
    """The sizes of its micro-batches."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(len(x))
        return super().forward(x)


def test_every_pass_is_counted():
    model = Remembers()
    header = evaluate(model, attacks=["square"], max_queries=20).results[0].record.header
    assert sum(model.seen) == header.clean_forwards + header.forwards + header.judge_forwards
    assert 2 in model.seen, "a pair was weighed"


def test_a_service_is_asked_as_much_at_a_time_as_ever():
    x, sizes = torch.rand(300, 1, 4, 4), []

    def ask(part):
        sizes.append(len(part))
        return Toy()(torch.as_tensor(part))

    robench.evaluate_corruptions(robench.Service(ask, "api"), x, torch.zeros(300, dtype=torch.int64), spatial=True)
    assert max(sizes) == 256


def test_the_usual_images_of_the_toys_are_small():
    assert chunk_for(X, MicroBatcher(128)) == 1024
