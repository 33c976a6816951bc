"""`fastbp export` of C, from the outside."""

import subprocess

import pytest

import fastbp as fb
from fastbp.cli.main import main
from tests.export.c_compiled import any_way, compiled


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fb.mlp([3, 4, 2]).save("net.safetensors")
    return tmp_path


def test_a_network_becomes_a_file_and_its_header(here, capsys):
    assert main(["export", "net.safetensors", "f.c", "--jacobian", "--casadi", "--name", "wing"]) == 0
    lines = [f"wrote f.{ending}, {(here / f'f.{ending}').stat().st_size:,} bytes" for ending in "ch"]
    assert capsys.readouterr().err.splitlines() == lines
    assert "void wing_jacobian(const float *x, float *jacobian);" in (here / "f.h").read_text()
    assert "int jac_wing(" in (here / "f.c").read_text()
    compiled(any_way(), here / "f.c", here / "f", "-DWING_SELF_TEST")
    done = subprocess.run(["./f"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "wing: all numbers of 8 rows have the same bits\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["f.c", "--opset", "17"], "`--opset` must be given with a file that ends in `.onnx`, got `f.c`"),
        (["f.onnx", "--casadi"], "`--casadi` must be given with a file that ends in `.c`, got `f.onnx`"),
        (["a-b.c"], "`path` must have a name of at most 40 letters, digits and underscores that begins with a letter"),
        (
            ["f.c", "--name", "7"],
            "`--name` must be a name of at most 40 letters, digits and underscores that begins with",
        ),
    ],
)
def test_mistakes_are_one_sentence(here, capsys, arguments, message):
    assert main(["export", "net.safetensors", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"fastbp: {message}")
    assert [path.name for path in here.iterdir()] == ["net.safetensors"]
