"""Gradient of comparisons with thresholds: that of a sigmoid (thermometer codes, Buckman et al., ICLR 2018)."""

from robench.classifiers.backward import rounding, steps
from robench.classifiers.backward.carried import Gradients

BACKWARD = Gradients(
    about="comparisons with thresholds (>, >=, <, <=, bucketize, sign), and rounding",
    rules={
        **rounding.BACKWARD.rules,
        **dict.fromkeys(("gt", "ge", "greater", "greater_equal", "__gt__", "__ge__"), steps.above),
        **dict.fromkeys(("lt", "le", "less", "less_equal", "__lt__", "__le__"), steps.below),
        **dict.fromkeys(("sign", "sgn"), steps.ramp),
        "heaviside": lambda result, x, *_, **__: steps.above(result, x, 0.0),
        "bucketize": steps.bucket,
        "searchsorted": steps.searched,
    },
)
