"""Configurations in YAML, TOML and JSON, of all that has a name, and mutants of them as bytes and as structure."""

import copy
import json
import re

from fastbp.config.text import as_yaml, parse
from tests.config.test_resolve import CASES
from tests.faults import odd

# Beside those of all names: what is said of tables.
TABLES = """
data: {path: rich.csv, target: y, columns: {a: {type: number, scale: robust, missing: median, indicator: true},
  c: {type: category, encode: embedding, min_frequency: 2, size: 3}, w: weight, g: ignore},
  split: {group: g, test: 0.2}}
network: {hidden: [4], norm: layer_norm}
---
data: {path: [rich.csv, rich.csv], target: b, task: numbers, scale: quantile, missing: constant, indicator: true,
  split: {column: part}, columns: {part: ignore, y: category, c: ignore}, encode: one_hot}
trainer: {loss: "abs(z - t) ** 1.5", penalty: 1e-4 * abs(w), metrics: [mae]}
---
data: {train: rich.csv, test: rich.csv, target: c, delimiter: ",", header: true, split: {folds: 4, fold: 1}}
network: {hidden: [3], activation: x * tanh(softplus(x)), init: {name: normal, scale: 0.1}}
trainer: {batch_size: 7, early_stopping: {patience: 2, min_delta: 0.1}, reduce_lr: {factor: 0.5}, ema: 0.9}
---
name: odd
seed: 3
data: {path: ids.npz, split: {validation: 0.3, test: 0.1, seed: 9, stratify: false}, scale: none}
network: {layers: [{name: linear, features: 4, as: a}, tanh, {name: add, from: [a, 1]}, {name: linear, features: 3}]}
---
data: {path: rich.csv, target: y, stream: true, block_rows: 8, window_blocks: 2, max_memory: 600MB, store: kept,
  columns: {g: ignore, part: ignore, w: ignore}, split: {test: 0.2}}
network: {hidden: [4]}
trainer: {shards: 4, batch_size: 16, metrics: [accuracy]}
---
data: {train: [rich.csv, rich.csv], validation: rich.csv, target: b, task: numbers, stream: true,
  columns: {c: {type: category, encode: embedding}, w: weight, g: ignore, part: ignore}}
trainer: {loss: huber}
---
data: {path: rich.csv, target: b, task: numbers, columns: {g: ignore}}
network: {hidden: [4], dropout: 0.1}
sweep: {trials: 5, sampler: {name: random}, pruner: {name: median, startup: 2}, seed: 3, together: 2, keep: result,
  space: {trainer.optimizer.lr: {log: [1e-3, 1e-1]}, network.hidden: {width: [4, 8], depth: {int: [1, 2]}},
  network.dropout: [0, {uniform: [0, 0.5]}], trainer.batch_size: {log_int: [8, 32]},
  trainer.ema: {uniform: [0.5, 0.9], when: {network.norm: layer_norm}}, network.norm: [null, layer_norm]}}
"""
RICH = "a,b,c,g,w,y,part\n" + "".join(
    f"{'' if i % 7 == 0 else i / 8},{i * i % 11},{'uvw'[i % 3]},g{i % 9},{i % 4},{['no', 'yes'][i % 2]},"
    f"{['train', 'train', 'validation', 'test'][i % 4]}\n"
    for i in range(60)
)
GOOD = [parse(text).data for text in [*CASES.values(), *TABLES.split("---\n")]]
LONG = "k" * 3000
DEEP = json.loads("[" * 40 + "]" * 40)
VALUES = [
    None,
    True,
    False,
    [],
    {},
    [[]],
    [[1, [2]]],
    [{}],
    {"name": "x"},
    {"name": None},
    {"": 1},
    {"a": {"b": []}},
    DEEP,
]


def files(folder):
    """What the configurations read."""
    import numpy as np

    (folder / "rich.csv").write_text(RICH)
    (folder / "t.csv").write_text("a,b,c\n" + "".join(f"{i},{i % 2},{i // 2 % 2}\n" for i in range(40)))
    np.save(folder / "labels.npy", np.arange(40) % 3)
    np.savez(folder / "ids.npz", X=np.arange(120.0).reshape(40, 3) % 7, y=np.arange(40) % 3)


def mutant(seed, number):
    """An ending and the bytes of a configuration."""
    rng = odd.of("config", seed, number)
    data = copy.deepcopy(rng.choice(GOOD))
    raw = []
    as_structure = rng.random() < 0.85
    for _ in range(rng.choice([1, 1, 1, 2]) if as_structure else 0):
        change(rng, data, raw)
    suffix = rng.choice([".yaml", ".yaml", ".json", ".toml"])
    content = WRITERS[suffix](data)
    for i, value in enumerate(raw):  # numbers as they are written
        content = re.sub(f"[\"']?@@{i}@@[\"']?", lambda _: value, content)  # noqa: B023
    content = content.encode("utf-8", "surrogatepass")
    if not as_structure or rng.random() < 0.05:
        content = odd.damaged(rng, content)
    return suffix, content


def change(rng, data, raw):
    """One key or value."""
    places = [(parent, key) for parent in containers(data) for key in keys_of(parent)]
    if not places:
        return
    parent, key = rng.choice(places)
    what = rng.random()
    value = parent[key]
    if rng.random() < 0.6:  # something like it
        known = [other[at] for other, at in SIMILAR.get(key, places)] if isinstance(parent, dict) else [value]
        if isinstance(value, bool):
            parent[key] = not value
        elif isinstance(value, int | float):
            parent[key] = rng.choice([value + 1, value * 2, value / 2, -value, 0, 1, float(value)])
        else:
            parent[key] = copy.deepcopy(rng.choice(known))
    elif what < 0.15 and isinstance(parent, dict):
        parent[rng.choice([key + "s", key.upper(), key[:-1], f" {key}", odd.text(rng), LONG])] = parent.pop(key)
    elif what < 0.25:
        del parent[key]
    elif what < 0.35:
        other, at = rng.choice(places)
        parent[key] = copy.deepcopy(other[at])
    elif what < 0.45:
        parent[key] = rng.choice([[parent[key]], {"name": parent[key]}, [parent[key]] * 2, {str(key): parent[key]}])
    elif what < 0.7:
        raw.append(rng.choice(odd.NUMBERS))
        parent[key] = f"@@{len(raw) - 1}@@"
    elif what < 0.85:
        parent[key] = odd.text(rng)
    else:
        parent[key] = copy.deepcopy(rng.choice(VALUES))


def containers(value):
    """Every map and list inside."""
    if isinstance(value, dict | list):
        yield value
        for child in value.values() if isinstance(value, dict) else value:
            yield from containers(child)


def keys_of(parent):
    return list(parent) if isinstance(parent, dict) else range(len(parent))


SIMILAR = {}  # key -> where it stands in the good ones
for parent in [inside for data in GOOD for inside in containers(data) if isinstance(inside, dict)]:
    for key in parent:
        SIMILAR.setdefault(key, []).append((parent, key))


def toml(data):
    """A configuration in TOML, which has no null."""

    def inline(value):
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(k)} = {inline(v)}" for k, v in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(inline, value)) + "]"
        return "''" if value is None else json.dumps(value).replace("\x7f", "\\u007f")

    lines = [f"{json.dumps(k)} = {inline(v)}" for k, v in data.items() if not isinstance(v, dict)]
    for k, v in data.items():
        if isinstance(v, dict):
            lines += [f"[{json.dumps(k)}]", *(f"{json.dumps(name)} = {inline(value)}" for name, value in v.items())]
    return "\n".join(lines) + "\n"


WRITERS = {".yaml": as_yaml, ".json": lambda data: json.dumps(data, indent=1), ".toml": toml}
