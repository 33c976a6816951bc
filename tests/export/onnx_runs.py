"""ONNX files run by the tests' own reader, and by ONNX Runtime where that is installed: both must say the same."""

import numpy as np

from tests.export.onnx_reader import read

try:
    import onnx
    import onnxruntime
except ImportError:
    onnx = onnxruntime = None


def run(content, feeds):
    """What a file says of these inputs, by the names of its outputs."""
    found = read(content)(**feeds)
    if onnxruntime is None or onnx is None:
        return found
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    other = dict(zip(names, session.run(None, feeds), strict=True))
    assert list(other) == list(found)
    for name, values in other.items():
        if values.dtype.kind in "OUi":
            assert (values == found[name]).all(), name
        else:
            assert values.dtype == found[name].dtype
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6)
    return other
