"""Functions that tests pickle: plain, decorated, and a method."""

import numpy as np

import fastbp as fb


def plain(x, y):
    return (np.tanh(x) * y).sum()


@fb.trace
def decorated(x, y):
    return (np.tanh(x) * y).sum()


@fb.trace
def replaced(x):
    return x


class Scaled:
    def __init__(self, factor):
        self.factor = factor

    @fb.trace
    def of(self, x, y):
        return (np.tanh(x) * y * self.factor).sum()
