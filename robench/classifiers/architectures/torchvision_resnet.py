"""torchvision's residual networks, the usual ones on ImageNet.

ResNet (He et al., CVPR 2016), ResNeXt (Xie et al., CVPR 2017) and Wide ResNet (Zagoruyko & Komodakis, BMVC 2016).
"""

from collections import OrderedDict

import torchvision
from torch import nn


class TorchvisionResNet(nn.Sequential):
    """A ResNet of torchvision without its last layer `fc`, freshly initialised; maps (N, C, H, W) to (N, D).

    Its children keep torchvision's order and names, so torchvision's checkpoints fit by name. The stem takes as many
    channels as the images have, also if that is not three.

    Args:
        shape: channels, height and width of an image.
        name: torchvision's name, such as "resnet50", "resnet152" or "wide_resnet101_2".

    Raises:
        ValueError: torchvision has no ResNet of that name.
    """

    def __init__(self, shape: tuple[int, int, int], name: str) -> None:
        known = torchvision.models.list_models(torchvision.models, include=["resnet*", "resnext*", "wide_resnet*"])
        if name not in known:
            raise ValueError(f"name = {name!r} is no ResNet of torchvision; known: {', '.join(known)}")
        network = torchvision.models.get_model(name)
        features: int = network.fc.in_features
        network.fc = nn.Flatten()
        if shape[0] != 3:
            network.conv1 = nn.Conv2d(shape[0], 64, 7, stride=2, padding=3, bias=False)
            nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(OrderedDict(network.named_children()))
        self.features = features


BACKBONE = TorchvisionResNet
