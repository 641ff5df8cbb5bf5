"""Gradient of a choice of the largest or smallest value: that of a softmax."""

from robench.classifiers.backward import rounding, steps
from robench.classifiers.backward.carried import Gradients

BACKWARD = Gradients(
    about="argmax and argmin with what is looked up by them (one_hot, embedding, table[index]), and rounding",
    rules={
        **rounding.BACKWARD.rules,
        "argmax": steps.largest,
        "argmin": steps.smallest,
        "max": steps.largest_of,
        "min": steps.smallest_of,
        "scatter": steps.scattered,
    },
)
