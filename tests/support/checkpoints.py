"""Networks loaded from checkpoints of other code, compared with their own logits."""

import torch

from robench.classifiers.sources import resolve
from robench.specs import Input, NetworkSpec

X = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
PLAIN = Input()
CIFAR10 = Input(mean=[0.4914, 0.4822, 0.4465], std=[0.2471, 0.2435, 0.2616])


def loaded(state, path, write=torch.save, **said):
    """The network of a checkpoint whose images are said to be taken as they are, unless the weights or the test say."""
    write(state, path)
    return resolve(NetworkSpec(str(path), **({"input": PLAIN} | said))).network


def normalised(x, given=CIFAR10):
    return (x - torch.tensor(given.mean).view(-1, 1, 1)) / torch.tensor(given.std).view(-1, 1, 1)


def same(network, expected, x=X):
    assert not network.training
    with torch.no_grad():
        expected = expected.detach()
        off = (network(x) - expected).abs().max()
    assert off <= 1e-5 * max(1.0, float(expected.abs().max()))
    return True
