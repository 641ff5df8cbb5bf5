"""Heads and classifiers: hypersphere embedding as the paper defines it."""

import hashlib
from typing import Any

import numpy as np
import pytest
import torch

import robench
from robench.classifiers import HypersphereHead, LinearHead, load_model
from robench.specs import Head


def head(**changes) -> HypersphereHead:
    torch.manual_seed(0)
    return HypersphereHead(5, 3, Head(kind="he", scale=15, margin=0.2, **changes))


def test_logits_are_cosines_against_numpy():
    layer, z = head(), torch.randn(7, 5, generator=torch.Generator().manual_seed(1)) * 30
    w, v = layer.weight.detach().double().numpy(), z.double().numpy()
    expected = (v / np.linalg.norm(v, axis=1, keepdims=True)) @ (w / np.linalg.norm(w, axis=1, keepdims=True)).T
    np.testing.assert_allclose(layer(z).detach().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("fn", "wn"), [(True, False), (False, True), (False, False)])
def test_ablations_normalise_only_what_they_say(fn, wn):
    layer, z = head(fn=fn, wn=wn), torch.randn(7, 5, generator=torch.Generator().manual_seed(1)) * 30
    w = layer.weight.detach()
    expected = (z / z.norm(dim=1, keepdim=True) if fn else z) @ (w / w.norm(dim=1, keepdim=True) if wn else w).T
    torch.testing.assert_close(layer(z).detach(), expected)


def test_arccos_has_a_finite_gradient_at_the_pole():
    layer = head(angular="arccos")
    z = layer.weight.detach()[:1].clone().requires_grad_()
    logits = layer(z)
    (gradient,) = torch.autograd.grad(logits[0, 0], z)
    assert torch.isfinite(gradient).all()
    assert logits[0].argmax() == 0
    torch.testing.assert_close(logits.detach(), -head()(z.detach()).detach().clamp(-1 + 1e-6, 1 - 1e-6).arccos())


def test_zero_feature_does_not_divide_by_zero():
    assert torch.isfinite(head()(torch.zeros(1, 5))).all()


def test_no_bias_with_he_and_a_bias_without():
    assert set(head().state_dict()) == {"weight"}
    assert set(LinearHead(5, 3).state_dict()) == {"weight", "bias"}


def test_registered_he_model_gives_cosines(digits):
    model: Any = load_model("pgdat_he")
    with torch.no_grad():
        z, logits = model.features(digits.x), model(digits.x)
    assert logits.abs().max() <= 1 + 1e-6
    w = model.head.weight.detach()
    torch.testing.assert_close(logits, torch.nn.functional.cosine_similarity(z[:, None], w[None], dim=2))


def test_normalisation_is_inside_the_network(digits):
    model: Any = load_model("pgdat")
    x = digits.x[:8]
    with torch.no_grad():
        torch.testing.assert_close(model.features(x), model.backbone((x - 0.3055) / 0.3761))


def state_hash(model) -> str:
    return hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.state_dict().values())).hexdigest()


@pytest.mark.parametrize("name", ["pgdat", "pgdat_he"])
def test_evaluation_leaves_the_model_as_it_was(name, digits):
    model = load_model(name)
    next(model.parameters()).requires_grad_(False)
    before = state_hash(model), [p.requires_grad for p in model.parameters()], model.training
    robench.evaluate(model, digits.x[:30], digits.y[:30], attacks=["pgd-20", "adaptive-pgd-20"], eps="0.2")
    assert before == (state_hash(model), [p.requires_grad for p in model.parameters()], model.training)
    assert all(p.grad is None for p in model.parameters())


def test_the_model_comes_back_after_an_error(digits):
    model: Any = load_model("pgdat")
    with torch.no_grad():
        model.head.bias[0] = float("nan")
    flags = [p.requires_grad for p in model.parameters()]
    with pytest.raises(robench.errors.InputError):
        robench.evaluate(model, digits.x[:30], digits.y[:30], attacks=["fgsm"], eps="0.2")
    assert flags == [p.requires_grad for p in model.parameters()]
