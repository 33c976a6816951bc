"""Options that have no effect are refused, and those that there are not have hints."""

from pathlib import Path

import pytest

from fastbp.cli.main import COMMANDS, main

CONFIG = "data: {source: moons, rows: 60}\nnetwork: {hidden: [4]}\ntrainer: {epochs: 1}\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(CONFIG)
    Path("t.csv").write_text("x,a,b\n" + "".join(f"{i},{i + 0.5},{2 * i + 0.5}\n" for i in range(30)))
    return tmp_path


def refused(arguments, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


NO_EFFECT = [
    (["train", "c.yaml", "--print-config", "--run-dir", "r"], "`--run-dir`", "`--print-config`"),
    (["train", "c.yaml", "--print-config", "--time-limit", "1m"], "`--time-limit`", "`--print-config`"),
    (["train", "c.yaml", "--print-config", "--json"], "`--json`", "`--print-config`"),
    (["train", "c.yaml", "--print-config", "-q"], "`-q`", "`--print-config`"),
    (["train", "c.yaml", "--print-config", "-v"], "`-v`", "`--print-config`"),
    (["train", "--resume", "r", "--run-dir", "s"], "`--resume`", "`--run-dir`"),
    (["check", "c.yaml", "--json", "--print-config"], "`--print-config`", "`--json`"),
    (["check", "c.yaml", "--json", "-q"], "`-q`", "`--json`"),
    (["gradcheck", "c.yaml", "--json", "-q"], "`-q`", "`--json`"),
    (["show", "r", "--graph", "g.svg", "--epochs", "3"], "`--epochs`", "`--graph`"),
    (["show", "c.yaml", "--epochs", "3"], "`--epochs`", "`c.yaml`"),
]


@pytest.mark.parametrize(("arguments", "option", "beside"), NO_EFFECT, ids=lambda v: " ".join(v) if v == list(v) else v)
def test_an_option_without_effect_is_refused(arguments, option, beside, capsys):
    first, *_ = refused(arguments, capsys)
    assert first == f"fastbp: {option} must not be given together with {beside}, where it has no effect"
    assert not Path("r").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "r", "-q"], "`-q` must be given together with `--graph`"),
        (["evaluate", "r", "--delimiter", ";"], "`--delimiter` must be given together with FILES"),
        (["evaluate", "r", "x.npz", "--delimiter", ";"], "`--delimiter` must be given with a .csv file, got `x.npz`"),
        (["init", "x.tsv", "--delimiter", ";"], "`--delimiter` must be given with a .csv file, got `x.tsv`"),
        (["predict", "r", "x.npz", "--delimiter", ";"], "`--delimiter` must be given with a .csv file, got `x.npz`"),
        *(
            (
                [*words, "--encoding", "latin-1"],
                f"`--encoding` must be given with a file of text, such as .csv, got `{file}`",
            )
            for *words, file in (
                ["predict", "r", "x.parquet", "x.parquet"],
                ["evaluate", "r", "x.arrow", "y.npz", "x.arrow"],
                ["init", "x.npz", "x.npz"],
            )
        ),
        (
            ["train", "c.yaml", "--run-dir", "r", "--set", "run.folder=x"],
            "`--set run.folder` must not be given together with `--run-dir`",
        ),
        (["init", "t.csv", "-o", "a", "-o", "b"], "`--output` must be given once, got it 2 times"),
        (["train", "c.yaml", "--run-dir", "a", "--run-dir=b"], "`--run-dir` must be given once, got it 2 times"),
        (["bench", "--seconds", "1", "--seconds", "1"], "`--seconds` must be given once, got it 2 times"),
    ],
)
def test_what_would_be_lost_is_refused(arguments, message, capsys):
    assert refused(arguments, capsys)[0] == f"fastbp: {message}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "network={hidden: null, layers: [{name: linear, features: 2}], activation: tanh}",
            "`network.activation` must not be given together with `network.layers`",
        ),
        ("network={hidden: [], activation: tanh}", "`network.activation` must not be given without hidden layers"),
        ("network={hidden: [], dropout: 0.5}", "`network.dropout` must not be given without hidden layers"),
        ("data.delimiter=';'", "`data.delimiter` must be given with files, not with `data.source` `moons`"),
        ("data.header=false", "`data.header` must be given with files, not with `data.source` `moons`"),
    ],
)
def test_a_setting_without_effect_is_refused(change, message, capsys):
    assert message in refused(["check", "c.yaml", "--set", change], capsys)[0]


def test_the_last_layer_takes_the_initialiser_where_there_is_no_hidden_one(capsys):
    import fastbp as fb

    settings = [
        "--set",
        "network.hidden=[]",
        "--set",
        "network.init=zeros",
        "--set",
        "trainer.optimizer={name: sgd, lr: 1e-30}",
    ]
    assert main(["train", "c.yaml", "--run-dir", "r", "-q", *settings]) == 0
    assert abs(fb.load("r/last.safetensors").parameters["0.weight"]).max() < 1e-20


@pytest.mark.filterwarnings("ignore:.* alone tells the target")
def test_several_targets_are_all_targets(capsys):
    assert main(["init", "t.csv", "-t", "a", "--target", "b", "-o", "several.yaml"]) == 0
    assert "  target:\n    - a\n    - b\n  task: numbers" in Path("several.yaml").read_text()
    assert "    a: " not in Path("several.yaml").read_text()
    capsys.readouterr()
    assert main(["check", "several.yaml"]) == 0
    assert "numbers: a, b\n" in capsys.readouterr().out
    assert refused(["init", "t.csv", "-t", "a", "-t", "a"], capsys) == [
        "fastbp: `--target` must name each column once, got `a` twice"
    ]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_fastbp_alone_prints_its_help(arguments, capsys):
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("Usage: fastbp [OPTIONS] [COMMAND] [ARGS]...\n\n")
    assert all(f"\n  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["train", "c.yaml", "--epochs", "5"], "`--set trainer.epochs=5` sets it"),
        (["train", "c.yaml", "--epochs=5"], "`--set trainer.epochs=5` sets it"),
        (["train", "c.yaml", "--batch-size", "64"], "`--set trainer.batch_size=64` sets it"),
        (["check", "c.yaml", "--lr", "0.1"], "`--set trainer.optimizer.lr=0.1` sets it"),
        (["train", "c.yaml", "--seed"], "`--set seed=VALUE` sets it"),
        (["show", "r", "--epoch", "3"], "did you mean `--epochs`?"),
    ],
)
def test_an_option_that_there_is_not_has_a_hint(arguments, hint, capsys):
    first, second = refused(arguments, capsys)
    assert first.startswith("fastbp: an option must be one of `--")
    assert first.endswith(f"got `{arguments[2].partition('=')[0]}`")
    assert second == f"hint: {hint}"


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("soon", "must be seconds, or a number with s, m, h or d such as `10m`, got `soon`"),
        ("-5", "must be above 0, got `-5`"),
    ],
)
@pytest.mark.parametrize("command", ["train", "init"])
def test_a_time_limit_that_is_none_is_said_of_the_option(command, limit, said, capsys):
    assert main([command, "c.yaml", "--time-limit", limit]) == 2
    assert capsys.readouterr().err == f"fastbp: `--time-limit` {said}\n"


def ranges(*given):
    return [word for one in given for word in ("--ranges", *one.split())]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "--seconds", "0"], "`--seconds` must be a number above 0 and at most 3600, got `0`"),
        (["warmup", "--jobs", "999"], "`--jobs` must be an integer of at least 1 and at most 256, got `999`"),
        (["gradcheck", "c.yaml", "--rows", "many"], "`--rows` must be an integer of at least 1, got `many`"),
        (["gradcheck", "c.yaml", "--tolerance=-1"], "`--tolerance` must be a number of at least 0, got `-1`"),
        (["explain", "r", "--rows", "1.5"], "`--rows` must be an integer, got `1.5`"),
        (
            ["export", "r", "m.html", *ranges("a low 3")],
            "`--ranges` must be as in `--ranges COLUMN LOW HIGH`, got `a low 3`",
        ),
        (
            ["export", "r", "m.html", *ranges("a 0 3", "b 0 high", "c 1 2")],
            "`--ranges` must be as in `--ranges COLUMN LOW HIGH`, got `b 0 high`",
        ),
        (["bench", "--seconds", "nan"], "`--seconds` must be a number above 0 and at most 3600, got `nan`"),
    ],
)
def test_values_that_no_option_has_are_refused(arguments, message, capsys):
    assert refused(arguments, capsys)[0] == f"fastbp: {message}"


def test_what_python_calls_an_argument_is_called_as_it_was_typed(capsys):
    assert main(["train", "c.yaml", "--run-dir", "r", "-q"]) == 0
    capsys.readouterr()
    for arguments, message in (
        (["export", "r", "m.onnx", "--opset", "3"], "`--opset` must be from 13 to 28, got `3`"),
        (["export", "r", "m.onnx", "--numbers", "x"], "`--numbers` must be left out where no column has categories"),
        (["explain", "r", "--repeats", "0"], "`--repeats` must be at least 1, got `0`"),
        (["explain", "r", "--seed", "-1"], "`--seed` must be at least 0, got `-1`"),
        (["explain", "r", "-m", "mea"], "`--metric` must be one of `accuracy`, "),
        (["evaluate", "r", "-m", "mea"], "`--metric` must be one of `accuracy`, "),
        (["export", "r", "m.html", "--ranges", "x0", "3", "1"], "`--ranges` must rise from the lower to the upper end"),
    ):
        assert refused(arguments, capsys)[0].startswith(f"fastbp: {message}"), arguments


def test_what_was_not_typed_is_called_as_it_is(capsys):
    assert main(["train", "c.yaml", "--run-dir", "r", "-q"]) == 0
    capsys.readouterr()
    for arguments, message in (
        (["export", "r", "1b.c"], "`path` must have a name of at most 40 letters"),
        (["train", "c.yaml", "--preset", "foo"], "--preset foo: `preset` must be one of "),  # where it says so already
        (["train", "c.yaml", "--set", "seed=-1"], "--set seed=-1: `seed` must be "),
    ):
        assert refused(arguments, capsys)[0].startswith(f"fastbp: {message}"), arguments
