"""`fb.export.torch`: a network's numbers as PyTorch reads them, and the text of the network that they are of.

A chain is a `nn.Sequential`, whose tensors are named by the place of their layer in the list; a network with branches
is a class with a line for each step.
"""

from __future__ import annotations

import json
from textwrap import indent
from typing import Any

import numpy as np

from fastbp.errors import ConfigError
from fastbp.export.in_torch import classes
from fastbp.export.in_torch.modules import EXPRESSIONS, Module, module_of
from fastbp.export.in_torch.tensors import to_bytes
from fastbp.export.model import model_of
from fastbp.lowering.walk import computing
from fastbp.model.sealed import format_of
from fastbp.spec.checks import path_ending_in
from fastbp.spec.graph import INPUT, Graph, Node
from fastbp.spec.members import Members
from fastbp.writing import whole

ENDING = ".safetensors"


def torch(model: Any, path: Any) -> str:
    """Write a network's parameters and running statistics as PyTorch names them, without PyTorch.

    Parameters
    ----------
    model : Network, Trainer, estimator of `fastbp.sklearn`, or path
        One network, whose rows are those that it reads itself: what prepares raw tables is not written.
    path : str or Path
        Ends in .safetensors.

    Returns
    -------
    str
        A program that makes the network in PyTorch, a `nn.Sequential` where its layers are a chain, and loads the file.
    """
    made = model_of(model)
    if len(made.members) > 1:
        must = "must be one network for PyTorch"
        raise ConfigError("model", must, f"`{len(made.members)}`", "ONNX takes those that predict together")
    (member,) = made.members
    file = path_ending_in("path", path, ENDING)
    if (format_of(file) or "").startswith("fastbp-"):
        raise ConfigError("path", "must be another file than one of fastbp, which would be lost", f"`{file}`")
    text = source_of(member.net.graph, member.net.dtype, str(path), bool(made.recipes))
    with whole(file) as opened:
        opened.write(to_bytes(tensors_of(member.net.graph, member.arrays), {"format": "pt"}))
    return text


def is_chain(graph: Graph) -> bool:
    """Whether every layer reads the one before."""
    chained = all(node.sources == (node.index - 1,) and not node.shares for node in graph.nodes)
    return chained and len(graph.heads) == 1


def modules_of(graph: Graph) -> dict[str, tuple[Node, Module]]:
    """Modules by their names in the network, in order; those that are used again stand once."""
    chain = is_chain(graph)
    before = "" if chain else "layers."
    found = {}
    for node in computing(graph):
        made = None if node.shares else module_of(node, chain)
        if made is not None:
            found[f"{before}{node.index}"] = node, made
    return found


def tensors_of(graph: Graph, arrays: dict[str, Any]) -> dict[str, Any]:
    """PyTorch's tensors by name."""
    found = {}
    for name, (node, module) in modules_of(graph).items():
        for part, tensor in module.tensors.items():
            found[f"{name}.{tensor.name}"] = tensor.of(arrays[node.parameter(part)])
        if module.counts:
            found[f"{name}.num_batches_tracked"] = np.zeros((), np.int64)
    return found


def source_of(graph: Graph, dtype: Any, path: str, prepared: bool = False) -> str:
    """The program that makes the network and loads its file."""
    texts: dict[str, str] = {}  # of classes and functions -> name of the function
    lines = {name: _named(module, texts) for name, (_, module) in modules_of(graph).items()}
    if graph.members is not None:
        texts[classes.MEAN_OF_MEMBERS] = ""
    above = [text.replace("{formula}", name).strip() for text, name in texts.items()]
    chain = is_chain(graph)
    if not chain:
        above.append("\n".join(_class(graph, lines)))
    last = ["# Rows are those that the recipe of the tables makes, which is not written here."] if prepared else []
    if len(graph.parts) > 1:
        parts = ", ".join(f"{width} of {name or f'input {i}'}" for i, (name, width) in enumerate(graph.parts))
        last.append(f"# A row has the inputs side by side: {parts}.")
    last += _sequential(graph, lines) if chain else ["net = Net()"]
    last += ["net.double()"] if dtype.itemsize == 8 else []
    last += [f"net.load_state_dict(load_file({json.dumps(path, ensure_ascii=False)}))", "net.eval()"]
    imports = "\n".join(_imports("\n".join([*above, *last])))
    between = "\n\n\n" if above else "\n\n"
    return between.join([imports, *above, "\n".join(last)]) + "\n"


def _imports(text: str) -> list[str]:
    lines = ["import torch"] if "torch." in text else []
    lines += ["from safetensors.torch import load_file", "from torch import nn"]
    return lines + (["from torch.nn import functional as F"] if "F." in text else [])


def _named(module: Module, texts: dict[str, str]) -> str:
    """What makes a module; its classes and functions are noted."""
    made = module.made
    for text in module.texts:
        if "{formula}" in text:
            texts.setdefault(text, f"formula_{1 + sum(map(bool, texts.values()))}")
            made = made.replace("{formula}", texts[text])
        else:
            texts.setdefault(text, "")
    return made


def _sequential(graph: Graph, lines: dict[str, str]) -> list[str]:
    """A chain of modules."""
    made = [*lines.values()]
    if graph.members is not None:
        made.append(_mean(graph.members))
    return ["net = nn.Sequential(", *(f"{indent(line, '    ')}," for line in made), ")"]


def _mean(members: Members) -> str:
    return f'MeanOfMembers("{members.average}")'


def _class(graph: Graph, lines: dict[str, str]) -> list[str]:
    """A network with branches."""
    out = ["class Net(nn.Module):", "    def __init__(self):", "        super().__init__()"]
    out += ["        self.layers = nn.ModuleDict({"]
    for name, line in lines.items():
        index = name.removeprefix("layers.")
        given = graph.nodes[int(index)].name
        within = indent(line, " " * 12).lstrip()
        out.append(f'            "{index}": {within},' + ("" if given.isdecimal() else f"  # {given}"))
    out += ["        })"]
    if graph.members is not None:
        out.append(f"        self.mean = {_mean(graph.members)}")
    out += ["", "    def forward(self, x):", *(f"        {line}" for line in _steps(graph))]
    heads = ", ".join(map(_signal, graph.heads))
    return [*out, f"        return {heads if graph.members is None else f'self.mean({heads})'}"]


def _steps(graph: Graph) -> list[str]:
    """A line for each layer."""
    homes = {node.name: node.index for node in graph.nodes if not node.shares}
    lines = []
    for node in computing(graph):
        read = []
        for source in node.sources:
            members = 1 if source == INPUT else graph.nodes[source].members
            each = node.members > members and len(node.sources) > 1
            read.append(_signal(source) + (f".expand({node.members}, -1, -1)" if each else ""))
        if node.layer.kind in EXPRESSIONS:
            step = EXPRESSIONS[node.layer.kind](node.layer, read)
        else:
            step = f'self.layers["{homes[node.home]}"]({read[0]})'
        lines.append(f"{_signal(node.index)} = {step}")
    return lines


def _signal(index: int) -> str:
    return "x" if index == INPUT else f"x{index}"
