"""Wide ResNets of RobustBench with parts of their own, drawn and computed as in `foreign`, without robench."""

import torch
from torch.nn import functional as F

from tests.support.foreign import ACTIVATIONS, Draw, conv, norm, same_conv, wide_resnet


def pssilu_wide_resnet(shared=True):
    """Dai et al. 2022: one activation with two parameters, which the state_dict repeats in every block."""
    state, random = wide_resnet(), torch.Generator().manual_seed(5)
    state = {key: value for key, value in state.items() if not key.startswith("sub_block1.")}
    one = torch.tensor([1.4]), torch.tensor([-0.2])
    for block in ("", *(f"block{group}.layer.0." for group in (1, 2, 3))):
        alpha, beta = one if shared else (torch.rand(1, generator=random) - 1.5, torch.rand(1, generator=random) / 2)
        state |= {f"{block}activation.alpha": alpha, f"{block}activation.beta": beta}
    return state


def pssilu(state, name, x):
    alpha, beta = (state[f"{name}activation.{key}"].abs() for key in ("alpha", "beta"))
    return x * (1 / (1 + torch.exp(-alpha * x)) - beta) / (1 - beta)


def pssilu_wide_resnet_logits(state, x):
    z = conv(state, "conv1", x)
    for group, stride in ((1, 1), (2, 2), (3, 2)):
        name = f"block{group}.layer.0"
        active = pssilu(state, f"{name}.", norm(state, f"{name}.bn1", z))
        inner = norm(state, f"{name}.bn2", conv(state, f"{name}.conv1", active, stride))
        z = conv(state, f"{name}.conv2", pssilu(state, f"{name}.", inner))
        z = z + conv(state, f"{name}.convShortcut", active, stride)
    return F.linear(pssilu(state, "", norm(state, "bn1", z)).mean((2, 3)), state["fc.weight"], state["fc.bias"])


def robust_resnet(widths=(16, 32, 32, 24), blocks=(2, 1, 2), classes=10):
    """Huang et al. 2023: stem_conv, blocks.G.layer.B, norm1, fc; the shortcut also where only the stride changes."""
    draw = Draw()
    draw.conv("stem_conv", 3, widths[0], 3)
    for group, count in enumerate(blocks):
        for at in range(count):
            first, out, name = widths[group + (at > 0)], widths[group + 1], f"blocks.{group}.layer.{at}"
            draw.norm(f"{name}.bn1", first)
            draw.conv(f"{name}.conv1", first, out, 3)
            draw.norm(f"{name}.bn2", out)
            draw.conv(f"{name}.conv2", out, out, 3)
            if at == 0:
                draw.conv(f"{name}.shortcut.0", first, out, 1)
    draw.norm("norm1", widths[-1])
    draw.linear("fc", widths[-1], classes, bias=True)
    return draw.state


def robust_resnet_logits(state, x, activation="silu"):
    active_of, z = ACTIVATIONS[activation], conv(state, "stem_conv", x)
    for group in range(3):
        at = 0
        while f"blocks.{group}.layer.{at}.conv1.weight" in state:
            name, stride = f"blocks.{group}.layer.{at}", 2 if at == 0 and group > 0 else 1
            active = active_of(norm(state, f"{name}.bn1", z))
            inner = active_of(norm(state, f"{name}.bn2", conv(state, f"{name}.conv1", active, stride)))
            shortcut = conv(state, f"{name}.shortcut.0", active, stride) if at == 0 else z
            z = shortcut + conv(state, f"{name}.conv2", inner)
            at += 1
    return F.linear(active_of(norm(state, "norm1", z)).mean((2, 3)), state["fc.weight"], state["fc.bias"])


def deepmind_flexible(widths=(16, 24, 32, 40), blocks=(2, 1, 1), squeeze=True, sparse=True, classes=10):
    """Peng et al. 2023 (se.fc1, se.fc2), Amini et al. 2024 (meansparse_0 to _2 and _end), or both."""
    draw = Draw()

    def mean_sparse(name, width):
        if sparse:
            draw.state |= {
                f"{name}.running_mean": 0.3 * torch.randn(width, generator=draw.random),
                f"{name}.running_var": torch.rand(width, generator=draw.random),
                f"{name}.threshold": torch.tensor(0.4), f"{name}.batch_num": torch.tensor(391.0),
                f"{name}.flag_update_statistics": torch.tensor(0),
            }  # fmt: skip

    draw.conv("init_conv", 3, widths[0], 3)
    for group, count in enumerate(blocks):
        for at in range(count):
            first, out, name = widths[group + (at > 0)], widths[group + 1], f"layer.{group}.block.{at}"
            draw.norm(f"{name}.batchnorm_0", first)
            mean_sparse(f"{name}.meansparse_0", first)
            draw.conv(f"{name}.conv_0", first, out, 3)
            draw.norm(f"{name}.batchnorm_1", out)
            mean_sparse(f"{name}.meansparse_1", out)
            draw.conv(f"{name}.conv_1", out, out, 3)
            if first != out:
                draw.conv(f"{name}.shortcut", first, out, 1)
            if squeeze:
                for layer, sides in (("fc1", (out, out // 4)), ("fc2", (out // 4, out))):
                    draw.conv(f"{name}.se.{layer}", *sides, 1)
                    draw.state[f"{name}.se.{layer}.bias"] = torch.randn(sides[1], generator=draw.random)
            mean_sparse(f"{name}.meansparse_2", out)
    draw.norm("batchnorm", widths[-1])
    draw.linear("logits", widths[-1], classes, bias=True)
    mean_sparse("meansparse_end", widths[-1])
    return draw.state


def sparse(state, name, x):
    """Amini et al. 2024: where x is nearer to the mean than `threshold` deviations, the mean."""
    if f"{name}.threshold" not in state:
        return x
    mean, deviation = (state[f"{name}.running_{key}"].reshape(1, -1, 1, 1) for key in ("mean", "var"))
    inside = (abs(x - mean) < state[f"{name}.threshold"] * deviation**0.5).to(x.dtype)
    return inside * mean + (1 - inside) * x


def squeezed(state, name, x):
    """Hu et al. 2018: channels scaled by two layers of their means."""
    if f"{name}.se.fc1.weight" not in state:
        return x
    z = x.mean((2, 3))
    for layer, active_of in (("fc1", torch.relu), ("fc2", torch.sigmoid)):
        z = active_of(F.linear(z, state[f"{name}.se.{layer}.weight"][..., 0, 0], state[f"{name}.se.{layer}.bias"]))
    return x * z[..., None, None]


def deepmind_flexible_logits(state, x, activation="silu", after="second"):
    active_of, z = ACTIVATIONS[activation], conv(state, "init_conv", x)
    for group in range(3):
        at = 0
        while f"layer.{group}.block.{at}.conv_0.weight" in state:
            name, stride = f"layer.{group}.block.{at}", 2 if at == 0 and group > 0 else 1
            active = active_of(sparse(state, f"{name}.meansparse_0", norm(state, f"{name}.batchnorm_0", z)))
            inner = same_conv(state, f"{name}.conv_0", active, stride)
            inner = squeezed(state, name, inner) if after == "first" else inner
            inner = active_of(sparse(state, f"{name}.meansparse_1", norm(state, f"{name}.batchnorm_1", inner)))
            inner = conv(state, f"{name}.conv_1", inner)
            inner = squeezed(state, name, inner) if after == "second" else inner
            if f"{name}.shortcut.weight" in state:
                z = F.conv2d(active, state[f"{name}.shortcut.weight"], stride=stride)
            z = sparse(state, f"{name}.meansparse_2", z + inner)
            at += 1
    z = active_of(sparse(state, "meansparse_end", norm(state, "batchnorm", z))).mean((2, 3))
    return F.linear(z, state["logits.weight"], state["logits.bias"])
