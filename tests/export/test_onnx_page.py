"""The programs of the page of exports, as far as they are about ONNX, print what stands below them."""

import re
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")
casadi = pytest.importorskip("casadi")
PAGE = Path(__file__).parents[2] / "docs" / "export.md"


def test_programs_print_what_stands_below_them(capsys, tmp_path, monkeypatch):
    if not hasattr(casadi, "GraphBuilder"):
        pytest.skip("CasADi before 3.8 reads no ONNX")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CASADI_ONNXRUNTIME_LIB", "")  # so that it is as before in the end
    _, _, behind = PAGE.read_text(encoding="utf-8").partition("\n## ONNX\n")
    section = behind.partition("\n## ")[0]
    programs = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", section, re.DOTALL)
    assert len(programs) == 3
    for program, shown in programs:
        exec(program, {})
        assert capsys.readouterr().out == shown
    assert {path.name for path in tmp_path.glob("*.onnx")} > {"digits.onnx", "gradient.onnx", "jac_f.onnx"}
