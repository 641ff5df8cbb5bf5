"""3D Common Corruptions on ImageNet (Kar, Yeo, Atanov, Zamir: 3D Common Corruptions and Data Augmentation, CVPR 2022).

ImageNet-3DCC has twelve of the paper's corruptions, those for which a predicted depth is enough, at severities 1 to 5.
Names are those of the published archives (tools/download_imagenet_3dcc.sh in the authors' repository
EPFL-VILAB/3DCommonCorruptions) and of RobustBench (`CORRUPTIONS_3DCC`), in RobustBench's order.
"""

CORRUPTIONS_3D = {
    "near_focus": "sharp near the camera, blurred by depth behind",
    "far_focus": "sharp far from the camera, blurred by depth before",
    "bit_error": "bits of a compressed video flipped",
    "color_quant": "fewer bits per colour",
    "flash": "a light at the camera, weaker with depth",
    "fog_3d": "fog that grows denser with depth",
    "h265_abr": "compressed as H.265 at an average bit rate",
    "h265_crf": "compressed as H.265 at a constant quality",
    "iso_noise": "noise of a sensor at high ISO",
    "low_light": "less light, with the noise of a sensor",
    "xy_motion_blur": "the camera moves along the picture's plane",
    "z_motion_blur": "the camera moves forward",
}
"""The corruptions of ImageNet-3DCC by name, with their meaning; the mean is over all of them and five severities."""
