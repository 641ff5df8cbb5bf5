"""Networks that come in files, against the networks that were saved in them."""

import json
import warnings

import numpy as np
import torch
from torch import nn

import robench
from robench.classifiers import load_model

ATTACK = "pgd-20"
EPS = 0.06
"""At this eps the attack breaks some of the examples and leaves others."""


def trained() -> nn.Module:
    """A network that classifies the digits, about half of them robustly."""
    return load_model("pgdat")


def same_verdicts(network, original, digits, examples=24):
    """Assert that both networks get the same verdict on every example, and not the same on all examples."""
    found, expected = (
        robench.evaluate(
            each, digits.x[:examples], digits.y[:examples], eps=EPS, attacks=[ATTACK], device="cpu", search="plain"
        ).results
        for each in (network, original)
    )
    for one, other in zip(found, expected, strict=True):
        assert (one.record.robust == other.record.robust).all()
        assert 0 < one.record.robust.sum() < examples


def same_logits(network, original, shape=(1, 8, 8), atol=1e-5, sizes=(1, 3, 8, 0)):
    """Assert that logits and gradients agree for several sizes of a batch."""
    for n in sizes:
        x = torch.rand(n, *shape, generator=torch.Generator().manual_seed(n))
        one, two = (x.clone().requires_grad_() for _ in range(2))
        found, expected = network(one), original(two)
        assert torch.allclose(found, expected, atol=atol)
        # squares, so that each logit has a weight of its own
        slope, expected_slope = (
            torch.autograd.grad((each**2).sum(), x)[0] for each, x in ((found, one), (expected, two))
        )
        assert torch.allclose(slope, expected_slope, atol=10 * atol)
        assert not n or slope.abs().max() > 0


def evaluated(cli, folder, model, *options, examples=24):
    """Evaluate a network by its name on the digits; return the only row of results and what the command said."""
    out = folder / "out.json"
    said = cli("eval", "--model", model, "--dataset", "digits", "--eps", EPS, "--attack", ATTACK,
               "--limit", examples, "--results", folder / "results", "--json", out, *options)  # fmt: skip
    assert said.code == 0, said.err
    (row,) = json.loads(out.read_text())["results"]
    return row, said


def refusal(cli, folder, model, *options):
    """Return the sentence with which an evaluation of the digits is refused."""
    said = cli("eval", "--model", model, "--dataset", "digits", "--eps", EPS, "--attack", ATTACK,
               "--limit", 10, "--results", folder / "results", *options)  # fmt: skip
    assert said.code == 2, said.err
    return said.last


def robust_accuracy(network, digits, examples=24):
    few = digits.first(examples)  # as --limit
    report = robench.evaluate(network, few.x, few.y, eps=EPS, attacks=[ATTACK], device="cpu", search="plain")
    return 100 * np.mean(report.results[0].record.robust)


def quietly(function, *arguments, **options):
    """Call a function of torch that warns that it is deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)
