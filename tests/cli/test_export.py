"""`fastbp export`, from the outside."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import main
from fastbp.export.writers import WRITERS
from tests.export.onnx_reader import read

CONFIG = """
data: {path: table.csv, target: y}
network: {hidden: [8]}
trainer: {epochs: 2, optimizer: {name: adam, lr: 0.01}}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fb.mlp([3, 4, 2], dtype="float64").save("net.safetensors")
    return tmp_path


def test_a_network_becomes_what_the_ending_says_with_its_derivatives(here, capsys):
    assert main(["export", "net.safetensors", "f.onnx", "--jacobian", "--opset", "18"]) == 0
    names = ["f", "jac_f", "fwd_f", "adj_f", "fwd_adj_f", "adj_adj_f"]
    assert sorted(path.stem for path in here.glob("*.onnx")) == sorted(names)
    sizes = [f"{(here / f'{name}.onnx').stat().st_size:,}" for name in names]
    lines = [f"wrote {name}.onnx, {size} bytes" for name, size in zip(names, sizes, strict=True)]
    assert capsys.readouterr().err.splitlines() == lines
    x = np.array([[0.1, 0.2, -0.3]])
    file = read((here / "f.onnx").read_bytes())
    assert file.opset == 18
    np.testing.assert_allclose(file(x=x)["y"], fb.load("net.safetensors").predict(x), rtol=1e-13)


def test_a_run_takes_raw_columns_or_its_networks_inputs(here, capsys):
    rng = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{2 * a - b:.3f}" for a, b in rng.normal(size=(60, 2))]
    (here / "table.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")
    (here / "config.yaml").write_text(CONFIG)
    assert main(["train", "config.yaml", "-q", "--set", "name=run"]) == 0
    (run,) = map(str, (here / "runs").iterdir())
    assert main(["export", run, "raw.onnx"]) == 0
    assert main(["export", run, "net.onnx", "--no-preprocessing"]) == 0
    assert list(read((here / "raw.onnx").read_bytes()).inputs) == ["a", "b"]
    assert list(read((here / "net.onnx").read_bytes()).inputs) == ["x"]
    assert main(["export", run, "raw.js"]) == 0
    assert main(["export", run, "net.cjs", "--no-preprocessing"]) == 0
    assert "\nexport { columns, outputs, predict, sensitivities };" in (here / "raw.js").read_text()
    assert "\nreturn { inputs, outputs, predict, jacobian };" in (here / "net.cjs").read_text()
    assert main(["export", run, "j.onnx", "--jacobian"]) == 0
    file, J = (read((here / name).read_bytes()) for name in ("j.onnx", "jac_j.onnx"))
    assert list(J.outputs) == ["jac_predictions_a", "jac_predictions_b"]
    row, step = {"a": np.array([[0.5]]), "b": np.array([[-0.2]])}, 1e-6
    ahead, behind = (file(a=row["a"] + sign * step, b=row["b"])["predictions"] for sign in (1.0, -1.0))
    np.testing.assert_allclose(J(**row)["jac_predictions_a"], (ahead - behind) / (2.0 * step), rtol=1e-6)
    table = {name: column[:, 0] for name, column in row.items()}
    np.testing.assert_allclose(file(**row)["predictions"][:, 0], fb.load(run).predict(table)["y"], rtol=1e-5)


def test_a_page_has_a_title_and_ranges_of_its_own(here, capsys):
    ranges = ["--ranges", "x0", "-1", "4", "--ranges", "x2", "0", "50"]
    assert main(["export", "net.safetensors", "f.html", "--title", "A & B", *ranges]) == 0
    page = (here / "f.html").read_text()
    assert "<title>A &amp; B</title>" in page
    ends = [(column["low"], column["high"]) for column in json.loads(re.search(r'"columns": (\[.*?\]),', page)[1])]
    assert ends == [(-1, 4), (-3, 3), (0, 50)]
    assert main(["export", "net.safetensors", "f.js", "--title", "A"]) == 2
    error = "fastbp: `--title` must be given with a file that ends in `.html`, got `f.js`"
    assert capsys.readouterr().err.splitlines()[1] == error


def test_derivatives_of_an_earlier_file_are_not_left_beside_another(here, capsys):
    assert main(["export", "net.safetensors", "f.onnx", "--jacobian"]) == 0
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    fb.mlp([3, 5, 2], seed=1).save("other.safetensors")
    capsys.readouterr()
    assert main(["export", "other.safetensors", "f.onnx"]) == 2
    said = "fastbp: `path` must have no derivatives of an earlier file beside it, as `jac_f.onnx`, got `f.onnx`"
    hint = "hint: remove them, or write them anew by `jacobian=True` (`--jacobian`)"
    assert capsys.readouterr().err.splitlines() == [said, hint]
    assert {name: (here / name).read_bytes() for name in before} == before
    with pytest.raises(fb.ConfigError, match="must have no derivatives of an earlier file"):
        fb.export.onnx(fb.trace(lambda x: x * x), "f.onnx", arguments=(1.0,))
    assert main(["export", "other.safetensors", "f.onnx", "--jacobian"]) == 0
    assert all((here / name).read_bytes() != before[name] for name in before if name.endswith(".onnx"))


def test_the_help_says_all_endings(capsys):
    assert main(["export", "--help"]) == 0
    said = capsys.readouterr().out.partition("Options:")[0].replace(",", " ").split()
    assert [word for word in said if word.startswith(".")] == [*WRITERS]


def test_writers_say_what_they_wrote(here):
    net = fb.load("net.safetensors")
    for ending, writer in WRITERS.items():
        said = getattr(fb.export, writer.name)(net, f"g{ending}")
        if writer.name == "torch":
            assert 'load_file("g.safetensors")' in said
        else:
            assert sorted(said) == sorted(Path().glob("g.*"))
        for path in here.glob("g.*"):
            path.unlink()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["nothing", "f.onnx"],
            2,
            "`nothing` must be a network or the folder of a run with a network, but does not exist",
        ),
        (["net.safetensors", "f.onnx", "--opset", "3"], 2, "`--opset` must be from 13 to 28, got `3`"),
        (["net.safetensors", "none/f.onnx"], 1, "`none/f.onnx` must be a file that can be written"),
        (["net.safetensors", "f.txt"], 2, "`FILE` must end in `.onnx`"),
        (["net.safetensors", "f.onnx", "--numbers", "a"], 2, "`--numbers` must be given where rows are raw only"),
    ],
)
def test_mistakes_are_one_sentence(here, capsys, arguments, code, message):
    assert main(["export", *arguments]) == code
    assert capsys.readouterr().err.startswith(f"fastbp: {message}")
    assert list(here.glob("*.onnx")) == []
