"""ONNX Runtime, on a model of `Gemm` and `Relu`."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.calls import Call
from bench.contenders.face import Predictor, pairs_of, portions_of

Array = npt.NDArray[Any]

OPSET, FORMAT = 17, 8  # old enough for every runtime of the last years


class OnnxPredictor(Predictor):
    """`InferenceSession.run`; with a buffer of the caller's, input and output bound to arrays made beforehand."""

    name = "onnx"
    modules = ("onnx", "onnxruntime")

    def prepare(self, call: Call, weights: list[Array], X: Array) -> None:
        runtime = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        session = runtime.InferenceSession(model_of(weights), options, providers=["CPUExecutionProvider"])
        self.portions = portions_of(call, X)
        if not call.out:
            self.predict = lambda x: session.run(None, {"x": x})[0]
            return
        source, out = np.empty(self.portions[0].shape, np.float32), np.empty((call.rows, call.sizes[-1]), np.float32)
        binding = session.io_binding()
        binding.bind_input("x", "cpu", 0, np.float32, source.shape, source.ctypes.data)
        binding.bind_output("y", "cpu", 0, np.float32, out.shape, out.ctypes.data)

        def predict(x: Array) -> Array:
            source[:] = x
            session.run_with_iobinding(binding)
            return out

        self.predict = predict


def model_of(weights: list[Array]) -> bytes:
    """The chain as a serialised model from x to y."""
    onnx = importlib.import_module("onnx")
    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    layers, nodes, constants, value = pairs_of(weights), [], [], "x"
    for number, (W, b) in enumerate(layers):
        last = number == len(layers) - 1
        constants += [onnx.numpy_helper.from_array(W, f"W{number}"), onnx.numpy_helper.from_array(b, f"b{number}")]
        z = "y" if last else f"z{number}"
        nodes.append(helper.make_node("Gemm", [value, f"W{number}", f"b{number}"], [z]))
        if not last:
            value = f"h{number}"
            nodes.append(helper.make_node("Relu", [z], [value]))
    ends = [
        helper.make_tensor_value_info(name, real, ["rows", size])
        for name, size in (("x", layers[0][0].shape[0]), ("y", layers[-1][1].size))
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=FORMAT)
    return bytes(model.SerializeToString())
