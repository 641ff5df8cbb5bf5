"""A compact convolutional network for small images."""

from torch import Tensor, nn


class ConvNet(nn.Module):
    """3x3 convolutions and a fully connected layer, each followed by ReLU, from images to features.

    Args:
        shape: channels, height and width of an image.
        channels: output channels of each convolution.
        strides: stride of each convolution.
        features: width of the penultimate layer.
        batch_norm: batch norm after each convolution; without it, deep networks do not start to learn under attack.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        channels: tuple[int, ...] = (32, 64, 64, 128),
        strides: tuple[int, ...] = (1, 2, 1, 2),
        features: int = 64,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if len(channels) != len(strides):
            raise ValueError(f"{len(channels)} channels but {len(strides)} strides, expected one each a convolution")
        width, height, breadth = shape
        layers: list[nn.Module] = []
        for out, stride in zip(channels, strides, strict=True):
            convolution = nn.Conv2d(width, out, 3, stride, padding=1, bias=not batch_norm)
            layers += [convolution, *([nn.BatchNorm2d(out)] if batch_norm else []), nn.ReLU()]
            width, height, breadth = out, -(-height // stride), -(-breadth // stride)
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.project = nn.Sequential(nn.Linear(width * height * breadth, features), nn.ReLU())
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to features (N, D)."""
        z: Tensor = self.project(self.body(x))
        return z


BACKBONE = ConvNet
