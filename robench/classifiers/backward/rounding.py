"""Gradient of rounding: straight through, as if the value had not been rounded."""

from robench.classifiers.backward import steps
from robench.classifiers.backward.carried import Gradients

BACKWARD = Gradients(
    about="rounding (round, floor, ceil, trunc, //), and conversion to whole numbers",
    rules={
        **dict.fromkeys(("round", "floor", "ceil", "trunc", "fix"), steps.identity),
        **dict.fromkeys(("floor_divide", "__floordiv__", "div", "divide"), steps.quotient),
        **dict.fromkeys(("remainder", "fmod", "__mod__", "frac"), steps.none),
        "one_hot": steps.one_hot,
        "embedding": steps.embedded,
        "__getitem__": steps.taken,
    },
)
