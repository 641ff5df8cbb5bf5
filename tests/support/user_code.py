"""A file with a function that makes a network, as a user would write it, and some that make none."""

CODE = """
import torch
from torch import nn
from beside import WIDTH


def make_model():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10))


def makes_nothing():
    return 3


def fails():
    raise RuntimeError("no such layer")


NUMBER = 3
"""
