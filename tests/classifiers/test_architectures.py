"""Backbones: shapes, names, sizes and arithmetic of the published families."""

from itertools import pairwise
from math import sqrt
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from robench.classifiers import architecture, list_architectures, load_card, make_classifier, save_weights
from robench.errors import InputError
from robench.specs import read_card
from tests.support.marks import slow

LIGHT: dict[str, dict[str, Any]] = {
    "wide_resnet": {"depth": 10, "widen_factor": 1},
    "torchvision_resnet": {"name": "resnet18"},
    "xcit": {"width": 32, "depth": 1, "heads": 2, "patch": 4},
    "pssilu_wide_resnet": {"depth": 10, "widen_factor": 1},
    "robust_resnet": {"widths": [8, 8, 16, 32], "blocks": [1, 1, 1]},
    "deepmind_flexible_wide_resnet": {"widths": [8, 8, 16, 32], "blocks": [1, 1, 1], "squeeze": "second"},
    "strided_resnet": {"name": "resnet18", "downsampling": "first"},
    "deepmind_wide_resnet": {"depth": 10, "width": 1},
    "flexible_wide_resnet": {"widths": [8, 8, 16, 32], "blocks": [1, 1, 1]},
    "resnet": {"depth": 50},
}
"""Arguments for architectures that need some."""

HEAVY = {"resnet", "torchvision_resnet", "strided_resnet", "resnet18", "preact_resnet18", "deepmind_preact_resnet"}
"""Architectures with ten million weights and more; `preact_resnet` is one that is tried by default, too."""
LIGHT_FIRST = [slow(name) if name in HEAVY else name for name in list_architectures()]

CARD = """
dataset = "digits"
about = "a test"
sha256 = "{sha256}"
[architecture]
name = "{name}"
args = {{ {args} }}
[head]
{head}
[recipe]
framework = "standard"
epochs = 1
batch_size = 64
lr = 0.1
"""
HE = 'kind = "he"\nscale = 15\nmargin = 0.2'


def card(folder, name, args=None, head="", sha256=""):
    """A card of a dataset with images of one channel and 8x8 pixels."""
    args = LIGHT.get(name, {}) if args is None else args
    text = ", ".join(
        f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in args.items()
    )
    folder.mkdir(exist_ok=True)
    (folder / "card.toml").write_text(CARD.format(name=name, args=text, head=head, sha256=sha256))
    return read_card(folder)


def build(name, shape=(3, 32, 32), /, **args):
    torch.manual_seed(0)
    return architecture(name)(shape=shape, **(args or LIGHT.get(name, {})))


def lived_in(network):
    """In float64 and evaluation mode, with batch norms as after training: no scale is 1, no shift and mean 0."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.3)
    return network.double().eval()


def images(*shape, seed=1, **kind):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), **kind)


# ---- Shapes ----


@pytest.mark.parametrize(
    ("name", "args", "shape", "features"),
    [
        ("convnet", {}, (1, 8, 8), 64),
        ("wide_resnet", {"depth": 16, "widen_factor": 2}, (1, 28, 28), 128),
        ("preact_resnet18", {}, (3, 32, 32), 512),
        ("resnet18", {}, (3, 32, 32), 512),
        ("torchvision_resnet", {"name": "resnet18"}, (3, 64, 64), 512),
    ],
)
def test_images_become_features(name, args, shape, features):
    network = build(name, shape, **args).eval()
    with torch.no_grad():
        z = network(images(2, *shape))
    assert network.features == features
    assert z.shape == (2, features)
    assert torch.isfinite(z).all()


@pytest.mark.parametrize("name", ["resnet50", "resnet152", "wide_resnet50_2", "wide_resnet101_2", "resnext50_32x4d"])
def test_imagenet_networks_have_2048_features(name):
    with torch.device("meta"):
        network = build("torchvision_resnet", (3, 224, 224), name=name)
        assert network(torch.rand(2, 3, 224, 224)).shape == (2, network.features) == (2, 2048)


def test_the_widest_network_of_cifar_has_640_features():
    with torch.device("meta"):
        network = build("wide_resnet", depth=34, widen_factor=10)
        assert network(torch.rand(2, 3, 32, 32)).shape == (2, network.features) == (2, 640)


# ---- Sizes: layer formulas written from the papers; convolutions without bias, two parameters a normed channel ----


def size(name, classes, /, **args):
    with torch.device("meta"):
        network = build(name, **args)
    return sum(p.numel() for p in network.parameters()) + (network.features + 1) * classes


def stacks(widths, blocks):
    """(width before, width after) of every block of a network whose first stack starts at widths[0]."""
    return [step for a, b in pairwise(widths) for step in [(a, b), *[(b, b)] * (blocks - 1)]]


def preactivation(a, b):
    return 2 * a + 9 * a * b + 2 * b + 9 * b * b + (a * b if a != b else 0)


@pytest.mark.parametrize(
    ("depth", "widen", "known"), [(34, 10, 46_160_474), (28, 10, 36_479_194), (16, 4, None), (10, 1, None)]
)
def test_size_of_wide_resnets(depth, widen, known):
    widths = [16, 16 * widen, 32 * widen, 64 * widen]
    blocks = sum(preactivation(a, b) for a, b in stacks(widths, (depth - 4) // 6))
    expected = 9 * 3 * 16 + blocks + 2 * widths[-1] + (widths[-1] + 1) * 10
    assert size("wide_resnet", 10, depth=depth, widen_factor=widen) == expected
    assert known in (None, expected)


def test_size_of_preact_resnet18():
    blocks = sum(preactivation(a, b) for a, b in stacks([64, 64, 128, 256, 512], 2))
    assert size("preact_resnet18", 10) == 9 * 3 * 64 + blocks + 2 * 512 + 513 * 10 == 11_172_170


def test_size_of_resnet18():
    steps = stacks([64, 64, 128, 256, 512], 2)
    blocks = sum(9 * a * b + 9 * b * b + 4 * b + (a * b + 2 * b if a != b else 0) for a, b in steps)
    assert size("resnet18", 10) == 9 * 3 * 64 + 2 * 64 + blocks + 513 * 10 == 11_173_962


@pytest.mark.parametrize(
    ("name", "depths", "wider", "known"),
    [
        ("resnet50", [3, 4, 6, 3], 1, 25_557_032),
        ("resnet152", [3, 8, 36, 3], 1, 60_192_808),
        ("wide_resnet50_2", [3, 4, 6, 3], 2, 68_883_240),
        ("wide_resnet101_2", [3, 4, 23, 3], 2, 126_886_696),
    ],
)
def test_size_of_torchvision_resnets(name, depths, wider, known):
    before, blocks = 64, 0
    for depth, planes in zip(depths, (64, 128, 256, 512), strict=True):
        inner, after = planes * wider, planes * 4
        blocks += before * after + 2 * after  # the shortcut of the first block
        for _ in range(depth):
            blocks += before * inner + 9 * inner * inner + inner * after + 4 * inner + 2 * after
            before = after
    assert size("torchvision_resnet", 1000, name=name) == 49 * 3 * 64 + 2 * 64 + blocks + 2049 * 1000 == known


# ---- Names: published checkpoints must fit ----


def norm_keys(key):
    return {f"{key}.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}


def test_names_of_the_trades_family():
    expected = {"conv1.weight"} | norm_keys("bn1")
    for block in ("block1", "block2", "block3"):
        expected.add(f"{block}.layer.0.convShortcut.weight")
        for i in (0, 1):
            key = f"{block}.layer.{i}"
            expected |= (
                {f"{key}.conv1.weight", f"{key}.conv2.weight"} | norm_keys(f"{key}.bn1") | norm_keys(f"{key}.bn2")
            )
    assert set(build("wide_resnet", depth=16, widen_factor=2).state_dict()) == expected


@pytest.mark.parametrize(
    ("name", "last", "shortcut"),
    [
        ("preact_resnet18", "bn", {"shortcut.0.weight"}),
        ("resnet18", "bn1", {"shortcut.0.weight"} | norm_keys("shortcut.1")),
    ],
)
def test_names_of_the_cifar_family(name, last, shortcut):
    expected = {"conv1.weight"} | norm_keys(last)
    for layer in (1, 2, 3, 4):
        for i in (0, 1):
            key = f"layer{layer}.{i}"
            expected |= (
                {f"{key}.conv1.weight", f"{key}.conv2.weight"} | norm_keys(f"{key}.bn1") | norm_keys(f"{key}.bn2")
            )
            expected |= {f"{key}.{part}" for part in shortcut} if i == 0 and layer > 1 else set()
    assert set(build(name).state_dict()) == expected


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_torchvision_names_and_features_are_torchvisions(name):
    original = torchvision.models.get_model(name)
    original.fc = nn.Identity()
    original = lived_in(original)
    network = build("torchvision_resnet", name=name).double().eval()
    network.load_state_dict(original.state_dict())
    x = images(2, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(x), original(x), rtol=0, atol=0)


# ---- Arithmetic: recomputed from the state_dict in float64 ----


def conv(w, key, x, stride=1):
    weight = w[f"{key}.weight"]
    return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)


def norm(w, key, x):
    return F.batch_norm(x, *(w[f"{key}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))


def preact_block(w, key, x, stride, shortcut):
    """He et al. 2016b, with the shortcut behind the first activation where the width changes."""
    a = norm(w, f"{key}.bn1", x).relu()
    z = conv(w, f"{key}.conv1", a, stride)
    z = conv(w, f"{key}.conv2", norm(w, f"{key}.bn2", z).relu())
    return z + (conv(w, f"{key}.{shortcut}", a, stride) if f"{key}.{shortcut}.weight" in w else x)


def test_wide_resnet_computes_what_the_paper_says():
    network = lived_in(build("wide_resnet", depth=16, widen_factor=2))
    w, x = network.state_dict(), images(3, 3, 12, 12, dtype=torch.float64)
    z = conv(w, "conv1", x)
    for block, i, stride in [(1, 0, 1), (1, 1, 1), (2, 0, 2), (2, 1, 1), (3, 0, 2), (3, 1, 1)]:
        z = preact_block(w, f"block{block}.layer.{i}", z, stride, "convShortcut")
    expected = F.avg_pool2d(norm(w, "bn1", z).relu(), 3).flatten(1)
    torch.testing.assert_close(network(x), expected)


def test_preact_resnet18_computes_what_the_paper_says():
    network = lived_in(build("preact_resnet18"))
    w, x = network.state_dict(), images(3, 3, 16, 16, dtype=torch.float64)
    z = conv(w, "conv1", x)
    for layer in (1, 2, 3, 4):
        z = preact_block(w, f"layer{layer}.0", z, 1 if layer == 1 else 2, "shortcut.0")
        z = preact_block(w, f"layer{layer}.1", z, 1, "shortcut.0")
    expected = F.avg_pool2d(norm(w, "bn", z).relu(), 2).flatten(1)
    torch.testing.assert_close(network(x), expected)


def test_resnet18_computes_what_the_paper_says():
    network = lived_in(build("resnet18"))
    w, x = network.state_dict(), images(3, 3, 16, 16, dtype=torch.float64)
    z = norm(w, "bn1", conv(w, "conv1", x)).relu()
    for layer in (1, 2, 3, 4):
        for i in (0, 1):
            key, stride = f"layer{layer}.{i}", 2 if layer > 1 and i == 0 else 1
            inner = norm(w, f"{key}.bn1", conv(w, f"{key}.conv1", z, stride)).relu()
            inner = norm(w, f"{key}.bn2", conv(w, f"{key}.conv2", inner))
            if stride == 2:
                z = norm(w, f"{key}.shortcut.1", conv(w, f"{key}.shortcut.0", z, stride))
            z = (inner + z).relu()
    torch.testing.assert_close(network(x), F.avg_pool2d(z, 2).flatten(1))


def test_wide_resnet_starts_as_its_family_does():
    network = build("wide_resnet", depth=16, widen_factor=4)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            std = sqrt(2 / (module.kernel_size[0] ** 2 * module.out_channels))
            assert module.weight.std().item() == pytest.approx(std, rel=6 / sqrt(2 * module.weight.numel()))
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


def test_dropout_lies_before_the_second_convolution_and_acts_in_training_only():
    """With everything dropped, only the shortcut is left of a block."""
    block = lived_in(build("wide_resnet", depth=10, widen_factor=1, drop_rate=1.0)).block1.layer[0]
    x = images(2, 16, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(block.train()(x), x, rtol=0, atol=0)
    assert not torch.equal(block.eval()(x), x)
    plain = build("wide_resnet", depth=10, widen_factor=1).block1.layer[0].double().eval()
    plain.load_state_dict(block.state_dict())
    torch.testing.assert_close(block(x), plain(x), rtol=0, atol=0)


# ---- Every architecture, in place; adding one needs no edit here unless it has arguments without defaults ----


@pytest.mark.parametrize("head", ["", HE], ids=["linear", "he"])
@pytest.mark.parametrize("name", list_architectures())
def test_architecture_works_with_every_head(name, head, tmp_path):
    model = make_classifier(card(tmp_path / "a", name, head=head)).eval()
    x = images(4, 1, 8, 8).requires_grad_()
    logits = model(x)
    logits[:, 0].sum().backward()
    assert logits.shape == (4, 10)
    assert torch.isfinite(logits).all()
    assert x.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in model.backbone.parameters()), "a part is never used"


@pytest.mark.parametrize("name", LIGHT_FIRST)
def test_weights_survive_the_disk(name, tmp_path):
    declared = card(tmp_path / "a", name, head=HE)
    model = make_classifier(declared)
    lived_in(model.backbone).float()
    loaded = load_card(card(tmp_path / "a", name, head=HE, sha256=save_weights(model, declared.weights)))
    x = images(4, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), model.eval()(x), rtol=0, atol=0)


@pytest.mark.parametrize("name", LIGHT_FIRST)
def test_features_do_not_depend_on_who_shares_the_batch(name):
    shape = (1, 8, 8) if name == "convnet" else (3, 16, 16)
    network = lived_in(build(name, shape))
    x = images(4, *shape, dtype=torch.float64)
    with torch.no_grad():
        together, alone = network(x), torch.cat([network(row[None]) for row in x])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)
    assert (together[0] - together[1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("wide_resnet", {"depth": 33, "widen_factor": 10}, r"depth = 33 is not 6n \+ 4"),
        ("wide_resnet", {"depth": 4, "widen_factor": 10}, r"depth = 4 is not 6n \+ 4"),
        ("wide_resnet", {"depth": 34.0, "widen_factor": 10}, r"depth = 34\.0 is not 6n \+ 4"),
        ("wide_resnet", {"depth": "34", "widen_factor": 10}, r"depth = '34' is not 6n \+ 4"),
        ("wide_resnet", {"depth": 34, "widen_factor": 0}, "widen_factor = 0 is not"),
        ("wide_resnet", {"depth": 10, "widen_factor": 1, "drop_rate": 2}, "dropout probability .* got 2"),
        ("wide_resnet", {"depth": 10}, "widen_factor"),
        (
            "torchvision_resnet",
            {"name": "resnet51"},
            "name = 'resnet51' is no ResNet of torchvision; known: .*resnet50",
        ),
        ("torchvision_resnet", {"name": "vgg11"}, "name = 'vgg11' is no ResNet of torchvision"),
        ("torchvision_resnet", {}, "'name'"),
        (
            "strided_resnet",
            {"name": "resnet18", "downsampling": "max"},
            "downsampling = 'max' is none of",
        ),
        ("xcit", {"width": 30, "depth": 1, "heads": 3, "patch": 4}, "width = 30 is no multiple of heads = 3 and of 8"),
        ("xcit", {"width": 32, "depth": 1, "heads": 0, "patch": 4}, "no multiple of heads = 0"),
        ("xcit", {"width": 32, "depth": 1, "heads": 2, "patch": 5}, "patch = 5 is no power of 2 up to 16"),
        ("robust_resnet", {"widths": [8, 8, 16], "blocks": [1, 1, 1]}, "are not four and three positive numbers"),
        ("deepmind_flexible_wide_resnet", {"widths": [8] * 4, "blocks": [1, 0, 1]}, "four and three positive numbers"),
        (
            "deepmind_flexible_wide_resnet",
            {"widths": [8] * 4, "blocks": [1] * 3, "squeeze": "third"},
            "squeeze = 'third' is none of none, first, second",
        ),
        ("resnet18", {"depth": 18}, "'depth'"),
    ],
)
def test_bad_arguments_name_card_and_key(name, args, said, tmp_path):
    with pytest.raises(InputError, match=rf"^card '.*a/card\.toml', key 'architecture\.args': .*{said}.*\.$"):
        make_classifier(card(tmp_path / "a", name, args))


def test_unknown_architecture_suggests_the_nearest(tmp_path):
    with pytest.raises(InputError, match="unknown architecture 'wideresnet': did you mean wide_resnet"):
        make_classifier(card(tmp_path / "a", "wideresnet"))
