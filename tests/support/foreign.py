"""Checkpoints of the field as other people's code writes them, and what their networks answer, computed layer by layer.

Nothing of robench is used here: a state_dict is drawn at random, and a forward pass reads it key by key.
"""

import torch
from torch.nn import functional as F


class Draw:
    """A state_dict that grows by layers."""

    def __init__(self, seed=0):
        self.random = torch.Generator().manual_seed(seed)
        self.state = {}

    def conv(self, name, width, out, size):
        self.state[f"{name}.weight"] = (
            torch.randn(out, width, size, size, generator=self.random) * (2 / (width * size**2)) ** 0.5
        )

    def norm(self, name, width, counted=True):
        for key in ("weight", "running_var"):
            self.state[f"{name}.{key}"] = 0.5 + torch.rand(width, generator=self.random)
        for key in ("bias", "running_mean"):
            self.state[f"{name}.{key}"] = 0.1 * torch.randn(width, generator=self.random)
        if counted:
            self.state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def linear(self, name, width, out, bias):
        self.state[f"{name}.weight"] = torch.randn(out, width, generator=self.random) / width**0.5
        if bias:
            self.state[f"{name}.bias"] = torch.randn(out, generator=self.random)


def conv(state, name, x, stride=1):
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)


def norm(state, name, x):
    return F.batch_norm(x, *(state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")))


def wide_resnet(depth=10, widen=2, classes=10, bias=True, counted=True):
    """The TRADES and AT_HE family, with its submodule that is never read."""
    draw, blocks = Draw(), (depth - 4) // 6
    widths = [16, 16 * widen, 32 * widen, 64 * widen]
    draw.conv("conv1", 3, 16, 3)
    for group, (width, out) in {
        "block1": widths[0:2], "sub_block1": widths[0:2], "block2": widths[1:3], "block3": widths[2:4],
    }.items():  # fmt: skip
        for at in range(blocks):
            first, name = (width if at == 0 else out), f"{group}.layer.{at}"
            draw.norm(f"{name}.bn1", first, counted)
            draw.conv(f"{name}.conv1", first, out, 3)
            draw.norm(f"{name}.bn2", out, counted)
            draw.conv(f"{name}.conv2", out, out, 3)
            if first != out:
                draw.conv(f"{name}.convShortcut", first, out, 1)
    draw.norm("bn1", widths[3], counted)
    draw.linear("fc", widths[3], classes, bias)
    return draw.state


def wide_resnet_features(state, x):
    z = conv(state, "conv1", x)
    for group in ("block1", "block2", "block3"):
        at = 0
        while f"{group}.layer.{at}.conv1.weight" in state:
            name, stride = f"{group}.layer.{at}", 2 if at == 0 and group != "block1" else 1
            active = F.relu(norm(state, f"{name}.bn1", z))
            changes = f"{name}.convShortcut.weight" in state
            inner = conv(state, f"{name}.conv1", active, stride)
            inner = conv(state, f"{name}.conv2", F.relu(norm(state, f"{name}.bn2", inner)))
            z = inner + (conv(state, f"{name}.convShortcut", active, stride) if changes else z)
            at += 1
    return F.relu(norm(state, "bn1", z)).mean((2, 3))


def wide_resnet_logits(state, x):
    return F.linear(wide_resnet_features(state, x), state["fc.weight"], state.get("fc.bias"))


def he_logits(state, x):
    """AT_HE's: features and rows of the last layer on the unit sphere."""
    z = wide_resnet_features(state, x)
    return F.normalize(z, dim=1) @ F.normalize(state["fc.weight"], dim=1).T


def preact_resnet18(classes=10, final_norm=True):
    """PreAct ResNet-18, with or without batch norm before the pooling."""
    draw, width = Draw(), 64
    draw.conv("conv1", 3, 64, 3)
    for layer, out in enumerate((64, 128, 256, 512), 1):
        for at in range(2):
            name = f"layer{layer}.{at}"
            draw.norm(f"{name}.bn1", width)
            draw.conv(f"{name}.conv1", width, out, 3)
            draw.norm(f"{name}.bn2", out)
            draw.conv(f"{name}.conv2", out, out, 3)
            if width != out:
                draw.conv(f"{name}.shortcut.0", width, out, 1)
            width = out
    if final_norm:
        draw.norm("bn", 512)
    draw.linear("linear", 512, classes, bias=True)
    return draw.state


def preact_resnet18_logits(state, x, shortcut="activated"):
    """Activated: a shortcut with a convolution takes relu(bn1(x)) (pytorch-cifar); raw: x (fast_adversarial)."""
    z = conv(state, "conv1", x)
    for layer in range(1, 5):
        for at in range(2):
            name, stride = f"layer{layer}.{at}", 2 if at == 0 and layer > 1 else 1
            active = F.relu(norm(state, f"{name}.bn1", z))
            inner = conv(state, f"{name}.conv1", active, stride)
            inner = conv(state, f"{name}.conv2", F.relu(norm(state, f"{name}.bn2", inner)))
            changes = f"{name}.shortcut.0.weight" in state
            source = active if shortcut == "activated" else z
            z = inner + (conv(state, f"{name}.shortcut.0", source, stride) if changes else z)
    z = F.relu(norm(state, "bn", z)) if "bn.weight" in state else z
    return F.linear(z.mean((2, 3)), state["linear.weight"], state["linear.bias"])


def resnet18(classes=10):
    """The ResNet-18 common on CIFAR."""
    draw, width = Draw(), 64
    draw.conv("conv1", 3, 64, 3)
    draw.norm("bn1", 64)
    for layer, out in enumerate((64, 128, 256, 512), 1):
        for at in range(2):
            name = f"layer{layer}.{at}"
            draw.conv(f"{name}.conv1", width, out, 3)
            draw.norm(f"{name}.bn1", out)
            draw.conv(f"{name}.conv2", out, out, 3)
            draw.norm(f"{name}.bn2", out)
            if width != out:
                draw.conv(f"{name}.shortcut.0", width, out, 1)
                draw.norm(f"{name}.shortcut.1", out)
            width = out
    draw.linear("linear", 512, classes, bias=True)
    return draw.state


def resnet18_logits(state, x):
    z = F.relu(norm(state, "bn1", conv(state, "conv1", x)))
    for layer in range(1, 5):
        for at in range(2):
            name, stride = f"layer{layer}.{at}", 2 if at == 0 and layer > 1 else 1
            inner = F.relu(norm(state, f"{name}.bn1", conv(state, f"{name}.conv1", z, stride)))
            inner = norm(state, f"{name}.bn2", conv(state, f"{name}.conv2", inner))
            if f"{name}.shortcut.0.weight" in state:
                z = norm(state, f"{name}.shortcut.1", conv(state, f"{name}.shortcut.0", z, stride))
            z = F.relu(inner + z)
    return F.linear(z.mean((2, 3)), state["linear.weight"], state["linear.bias"])


ACTIVATIONS = {"silu": lambda x: x * torch.sigmoid(x), "relu": lambda x: x.clamp_min(0)}


def same_conv(state, name, x, stride):
    """TensorFlow's "same" padding of a 3x3 convolution on an even side: for stride 2 only below and on the right."""
    padded = F.pad(x, (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1))
    return F.conv2d(padded, state[f"{name}.weight"], stride=stride)


def deepmind_wide_resnet(depth=10, width=1, classes=10):
    """Gowal et al. 2020: init_conv, layer.G.block.B, batchnorm, logits."""
    draw, blocks = Draw(), (depth - 4) // 6
    widths = [16, 16 * width, 32 * width, 64 * width]
    draw.conv("init_conv", 3, 16, 3)
    for group in range(3):
        for at in range(blocks):
            first, out = (widths[group] if at == 0 else widths[group + 1]), widths[group + 1]
            name = f"layer.{group}.block.{at}"
            draw.norm(f"{name}.batchnorm_0", first)
            draw.conv(f"{name}.conv_0", first, out, 3)
            draw.norm(f"{name}.batchnorm_1", out)
            draw.conv(f"{name}.conv_1", out, out, 3)
            if first != out:
                draw.conv(f"{name}.shortcut", first, out, 1)
    draw.norm("batchnorm", widths[3])
    draw.linear("logits", widths[3], classes, bias=True)
    return draw.state


def deepmind_wide_resnet_logits(state, x, activation="silu"):
    active_of, z = ACTIVATIONS[activation], conv(state, "init_conv", x)
    for group in range(3):
        at = 0
        while f"layer.{group}.block.{at}.conv_0.weight" in state:
            name, stride = f"layer.{group}.block.{at}", 2 if at == 0 and group > 0 else 1
            active = active_of(norm(state, f"{name}.batchnorm_0", z))
            inner = same_conv(state, f"{name}.conv_0", active, stride)
            inner = conv(state, f"{name}.conv_1", active_of(norm(state, f"{name}.batchnorm_1", inner)))
            changes = f"{name}.shortcut.weight" in state
            z = inner + (F.conv2d(active, state[f"{name}.shortcut.weight"], stride=stride) if changes else z)
            at += 1
    z = active_of(norm(state, "batchnorm", z)).mean((2, 3))
    return F.linear(z, state["logits.weight"], state["logits.bias"])


def deepmind_preact_resnet(blocks=(2, 2, 2, 2), classes=10):
    """Rebuffi et al. 2021: conv_2d, layer_G.B, batchnorm, logits; shortcuts are 3x3."""
    draw, width = Draw(), 64
    draw.conv("conv_2d", 3, 64, 3)
    for layer, (out, count) in enumerate(zip((64, 128, 256, 512), blocks, strict=True)):
        for at in range(count):
            name = f"layer_{layer}.{at}"
            draw.norm(f"{name}.batchnorm_0", width)
            draw.conv(f"{name}.conv_2d_1", width, out, 3)
            draw.norm(f"{name}.batchnorm_1", out)
            draw.conv(f"{name}.conv_2d_2", out, out, 3)
            if at == 0 and layer > 0:
                draw.conv(f"{name}.shortcut", width, out, 3)
            width = out
    draw.norm("batchnorm", 512)
    draw.linear("logits", 512, classes, bias=True)
    return draw.state


def deepmind_preact_resnet_logits(state, x, activation="silu"):
    active_of, z = ACTIVATIONS[activation], conv(state, "conv_2d", x)
    for layer in range(4):
        at = 0
        while f"layer_{layer}.{at}.conv_2d_1.weight" in state:
            name, stride = f"layer_{layer}.{at}", 2 if at == 0 and layer > 0 else 1
            inner = same_conv(state, f"{name}.conv_2d_1", active_of(norm(state, f"{name}.batchnorm_0", z)), stride)
            inner = conv(state, f"{name}.conv_2d_2", active_of(norm(state, f"{name}.batchnorm_1", inner)))
            z = inner + (same_conv(state, f"{name}.shortcut", z, stride) if f"{name}.shortcut.weight" in state else z)
            at += 1
    z = active_of(norm(state, "batchnorm", z)).mean((2, 3))
    return F.linear(z, state["logits.weight"], state["logits.bias"])


def resnet50(classes=10):
    """ResNet-50 with a 3x3 stem (Engstrom et al. 2019): bottlenecks of 1x1, 3x3 and 1x1 convolutions."""
    draw, width = Draw(), 64
    draw.conv("conv1", 3, 64, 3)
    draw.norm("bn1", 64)
    for layer, (planes, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
        for at in range(count):
            name = f"layer{layer}.{at}"
            for place, (take, give, size) in enumerate(
                ((width, planes, 1), (planes, planes, 3), (planes, 4 * planes, 1)), 1
            ):
                draw.conv(f"{name}.conv{place}", take, give, size)
                draw.norm(f"{name}.bn{place}", give)
            if at == 0:
                draw.conv(f"{name}.shortcut.0", width, 4 * planes, 1)
                draw.norm(f"{name}.shortcut.1", 4 * planes)
            width = 4 * planes
    draw.linear("linear", 2048, classes, bias=True)
    return draw.state


def resnet50_logits(state, x):
    z = F.relu(norm(state, "bn1", conv(state, "conv1", x)))
    for layer, count in enumerate((3, 4, 6, 3), 1):
        for at in range(count):
            name, stride = f"layer{layer}.{at}", 2 if at == 0 and layer > 1 else 1
            inner = F.relu(norm(state, f"{name}.bn1", conv(state, f"{name}.conv1", z)))
            inner = F.relu(norm(state, f"{name}.bn2", conv(state, f"{name}.conv2", inner, stride)))
            inner = norm(state, f"{name}.bn3", conv(state, f"{name}.conv3", inner))
            if f"{name}.shortcut.0.weight" in state:
                z = norm(state, f"{name}.shortcut.1", conv(state, f"{name}.shortcut.0", z, stride))
            z = F.relu(inner + z)
    return F.linear(z.mean((2, 3)), state["linear.weight"], state["linear.bias"])


def resnet50_of_caffe_logits(state, x):
    """ResNet-50 under torchvision's names; the first convolution of a bottleneck has the stride, as in Caffe."""
    z = F.relu(norm(state, "bn1", conv(state, "conv1", x, 2)))
    z = F.max_pool2d(z, 3, 2, 1)
    for layer, count in enumerate((3, 4, 6, 3), 1):
        for at in range(count):
            name, stride = f"layer{layer}.{at}", 2 if at == 0 and layer > 1 else 1
            inner = F.relu(norm(state, f"{name}.bn1", conv(state, f"{name}.conv1", z, stride)))
            inner = F.relu(norm(state, f"{name}.bn2", conv(state, f"{name}.conv2", inner)))
            inner = norm(state, f"{name}.bn3", conv(state, f"{name}.conv3", inner))
            if at == 0:
                z = norm(state, f"{name}.downsample.1", conv(state, f"{name}.downsample.0", z, stride))
            z = F.relu(inner + z)
    return F.linear(z.mean((2, 3)), state["fc.weight"], state["fc.bias"])


def flexible_wide_resnet(widths=(16, 32, 64, 48), blocks=(2, 1, 3), classes=10):
    """Huang et al. 2021: stem_conv, blocks.G.layer.B, bn1, fc."""
    draw = Draw()
    draw.conv("stem_conv", 3, widths[0], 3)
    for group, count in enumerate(blocks):
        for at in range(count):
            first, out, name = (
                (widths[group] if at == 0 else widths[group + 1]),
                widths[group + 1],
                f"blocks.{group}.layer.{at}",
            )
            draw.norm(f"{name}.bn1", first)
            draw.conv(f"{name}.conv1", first, out, 3)
            draw.norm(f"{name}.bn2", out)
            draw.conv(f"{name}.conv2", out, out, 3)
            if first != out:
                draw.conv(f"{name}.convShortcut", first, out, 1)
    draw.norm("bn1", widths[-1])
    draw.linear("fc", widths[-1], classes, bias=True)
    return draw.state


def flexible_wide_resnet_logits(state, x):
    z = conv(state, "stem_conv", x)
    for group in range(3):
        at = 0
        while f"blocks.{group}.layer.{at}.conv1.weight" in state:
            name, stride = f"blocks.{group}.layer.{at}", 2 if at == 0 and group > 0 else 1
            active = F.relu(norm(state, f"{name}.bn1", z))
            inner = conv(state, f"{name}.conv1", active, stride)
            inner = conv(state, f"{name}.conv2", F.relu(norm(state, f"{name}.bn2", inner)))
            changes = f"{name}.convShortcut.weight" in state
            z = inner + (conv(state, f"{name}.convShortcut", active, stride) if changes else z)
            at += 1
    return F.linear(F.relu(norm(state, "bn1", z)).mean((2, 3)), state["fc.weight"], state["fc.bias"])
