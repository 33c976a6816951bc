"""Networks as tensors and programs of PyTorch, and those of PyTorch as networks, without PyTorch.

tensors.py    files of named tensors, of which nothing is believed
modules.py    layers as modules, and which of their tensors are which arrays
classes.py    layers that PyTorch has no module for, as classes of it
formulas.py   activations that it has no module for, as functions of it
reading.py    tensors of others as a network
layers.py     modules of others as layers
"""
