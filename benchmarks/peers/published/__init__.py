"""Attacks of recent papers, each written anew from its published definition: plain torch, linf, one function each.

`attack(model, x, y, eps, seed) -> points` returns a point (N, C, H, W) for each image, the image itself where nothing
was found. What the attack costs is counted by the network that it is given (`CountedPasses`). An example leaves as soon
as one of its points is misclassified, and a point that was queried is not queried again; both make the attack cheaper
than the code of its authors and break the same examples.
"""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from benchmarks.peers.published import a3, malt, pma

ATTACKS: Mapping[str, Callable[[nn.Module, Tensor, Tensor, float, int], Tensor]] = {
    "a3": a3.attack,
    "malt": malt.attack,
    "pma": pma.attack,
}
