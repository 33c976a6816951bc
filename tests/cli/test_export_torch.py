"""`fastbp export` to PyTorch."""

import fastbp as fb
from tests.export.test_torch_file import CHAIN


def test_the_program_is_printed_and_the_file_is_written(tmp_path, monkeypatch, capsys):
    from fastbp.cli.main import main

    monkeypatch.chdir(tmp_path)
    layers = [fb.Linear(4), fb.BatchNorm(), fb.Tanh(), fb.Dropout(0.1), fb.Linear(1, bias=False)]
    net = fb.Network(layers, inputs=2)
    net.save("ours.safetensors")
    assert main(["export", "ours.safetensors", "net.safetensors"]) == 0
    said = capsys.readouterr()
    assert said.out == CHAIN
    assert said.err == f"wrote net.safetensors, {(tmp_path / 'net.safetensors').stat().st_size:,} bytes\n"
    assert (fb.load_torch("net.safetensors", layers, inputs=2).flat == net.flat).all()
