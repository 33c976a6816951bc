"""Models as ONNX: their gates, one node or a few for each.

protobuf.py   messages of protocol buffers as bytes
graph.py      one file being written: nodes, constants, inputs and outputs
values.py     names of gates' values, and how nodes read them
gates.py      gates as nodes, and in functions.py those for which ONNX has no operator
siblings.py   derivatives, each a file beside the model's
traced.py     traced functions
ops.py        operators as methods, for preprocessing
tables.py     steps of recipes, and in moments.py those of dates
outcome.py    what outputs mean
model.py      from raw columns to predictions
"""
