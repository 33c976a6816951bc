"""What the docstrings and the README show is what happens, and the scripts of `examples/` find what they are for."""

import doctest
import importlib
import pkgutil
import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import fastbp

ROOT = Path(__file__).resolve().parent.parent
MODULES = [m.name for m in pkgutil.walk_packages(fastbp.__path__, "fastbp.")]
WITH_EXAMPLES = [
    name
    for name in MODULES
    if any(test.examples for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name)))
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings_print_what_they_say(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0


def test_there_are_examples_where_users_look_first():
    assert {"fastbp.model.network", "fastbp.train.trainer", "fastbp.data", "fastbp.reference"} <= set(WITH_EXAMPLES)


def test_the_first_program_of_the_readme_prints_what_stands_below_it(capsys):
    text = (ROOT / "README.md").read_text()
    program = re.search(r"```python\n(import fastbp.*?)```", text, re.S)[1]
    shown = re.search(r"```text\n(.*?)```", text, re.S)[1]
    exec(compile(program, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    seconds = re.compile(r"seconds=[\d.e-]+")
    history, accuracy = seconds.sub("", printed).split("\n")[:2]
    shown_history, shown_accuracy = seconds.sub("", shown).split("\n")[:2]
    assert history == shown_history
    assert np.isclose(float(accuracy), float(shown_accuracy))


def test_nothing_in_the_readme_waits_to_be_filled_in():
    assert "@@" not in (ROOT / "README.md").read_text()


def programs(part):
    """The programs of the README in which this occurs, with what is shown below each."""
    text = (ROOT / "README.md").read_text()
    found = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", text, re.S)
    return [(program, shown) for program, shown in found if part in program]


def run(part):
    """What the only program with this part leaves, without anything that stands elsewhere."""
    ((program, _),) = programs(part)
    names = {}
    exec(compile(program, "README.md", "exec"), names)
    return names


def test_the_program_with_everything_in_it_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = run("fb.Embedding")
    epochs = len(names["history"].loss)
    assert len(capsys.readouterr().out.split()) == epochs > 1
    assert len((tmp_path / "runs" / "history.csv").read_text().splitlines()) == epochs + 1
    assert fastbp.load("runs/best.safetensors").predict(names["X"]).shape == (1200, 3)
    assert max(names["history"]["val_accuracy"]) > 0.8


def test_the_network_with_branches_trains_and_is_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("fb.Input(17)")
    assert (tmp_path / "net.svg").read_text().startswith("<svg")


def test_the_formulas_of_the_readme_can_be_trained_on():
    trainer = run('fb.mlp([4, 64, 3], activation="')["trainer"]
    rng = np.random.default_rng(0)
    history = trainer.fit(rng.normal(size=(64, 4)), rng.normal(size=(64, 3)), epochs=5)
    assert history.loss[-1] < history.loss[0]


def test_the_traced_function_prints_what_stands_below_it(capsys):
    ((program, shown),) = programs("F = fb.trace")
    exec(compile(program, "README.md", "exec"), {})
    assert capsys.readouterr().out == shown


def test_the_pack_of_the_readme_prints_what_stands_below_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ((program, shown),) = programs("fb.Pack")
    exec(compile(program, "README.md", "exec"), {})
    assert capsys.readouterr().out == shown
    assert len(fastbp.load("pack.safetensors")) == 4


def test_every_program_of_the_readme_is_a_whole_script(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = programs("")
    assert len(found) > 5
    for program, _ in found:
        exec(compile(program, "README.md", "exec"), {})


@pytest.fixture
def printed(monkeypatch, capsys):
    """What a script of `examples/` prints with these options, line by line."""

    def run(name, *options):
        monkeypatch.setattr(sys, "argv", [name, *options])
        runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


def numbers(line):
    return [float(found) for found in re.findall(r"(?<![\w.])[\d.]+(?:e[+-]\d+)?(?!\w)", line)]


def test_intervals_of_an_ensemble_hold_what_they_promise_once_they_are_recalibrated(printed):
    _, one, ensemble, recalibrated = printed("uncertainty.py", "--rows", "400", "--members", "6", "--epochs", "80")
    (rmse, half, most, *_), together = numbers(one), numbers(ensemble.partition("of 6")[2])
    assert together[0] < rmse
    assert 30.0 < half < together[1] < 50.0
    assert 65.0 < most < together[2] < 90.0
    same, half, most, slow, fast = numbers(recalibrated)
    assert same == together[0]
    assert abs(half - 50.0) < 4.0
    assert abs(most - 90.0) < 3.0
    assert fast > 1.5 * slow  # who is faster is told less surely


def test_a_population_learns_to_balance(printed):
    *_, before, after = printed("population.py", "--agents", "4", "--rounds", "10")
    (unlearned, _), (learned, best, longest) = numbers(before), numbers(after)
    assert unlearned < 30.0
    assert 200.0 < learned <= best <= longest == 500.0


def test_the_worst_of_a_population_go_on_from_the_best():
    names = runpy.run_path(str(ROOT / "examples" / "population.py"))
    population = names["Population"](4, 0)
    population.learn()
    population.falls = [np.array([3, 0, 9, 5])]
    before, rates = population.policies.members[1].flat, population.rates.copy()
    population.select()
    assert np.array_equal(population.policies.members[2].flat, before)
    assert np.array_equal(population.critics.members[2].flat, population.critics.members[1].flat)
    assert population.rates[2] / rates[1] in (0.6, 1.6)
    assert [one.lr for one in population.policies.optimizers] == population.rates.tolist()
    assert np.array_equal(np.delete(population.rates, 2), np.delete(rates, 2))


def test_returns_end_with_a_fall_and_go_on_by_the_critic_where_time_is_up():
    names = runpy.run_path(str(ROOT / "examples" / "population.py"))
    population, shape = names["Population"](1, 0), (1, names["STEPS"], 2)
    states, after = (np.random.default_rng(i).normal(size=(*shape, 4)) for i in (1, 2))
    fell, ended = np.zeros(shape, bool), np.zeros(shape, bool)
    fell[0, -2, 0] = ended[0, -2, :] = True
    _, returns = population.advantages(states, after, fell, ended)
    last, before = (population.critics.members[0].predict(after[0, at])[:, 0] for at in (-1, -2))
    assert returns[0, -1] == pytest.approx(0.01 + 0.99 * last, rel=1e-6)
    assert returns[0, -2] == pytest.approx([0.01, 0.01 + 0.99 * before[1]], rel=1e-6)
    then, value = (population.critics.members[0].predict(one)[:, 0] for one in (after[0, -3], states[0, -2]))
    assert returns[0, -3] == pytest.approx(0.01 + 0.99 * then + 0.99 * 0.95 * (returns[0, -2] - value), rel=1e-6)


@pytest.mark.parametrize("right", [False, True])
def test_a_pole_falls_as_the_laws_of_motion_say(right):
    carts = runpy.run_path(str(ROOT / "examples" / "population.py"))["Carts"]((1,), np.random.default_rng(0))
    x, v, angle, spin = carts.state[0] = 0.1, -0.2, 0.05, 0.3
    after, fell, ended = carts.step(np.array([right]))
    # (M + m) x'' + m l θ'' cos θ = F + m l θ'² sin θ  and  x'' cos θ + 4/3 l θ'' = g sin θ, of a rod of length 2 l
    masses = [[1.1, 0.05 * np.cos(angle)], [np.cos(angle), 2.0 / 3.0]]
    forces = [(10.0 if right else -10.0) + 0.05 * spin**2 * np.sin(angle), 9.8 * np.sin(angle)]
    rates = v, spin, *np.linalg.solve(masses, forces)
    expected = np.array([x, angle, v, spin]) + 0.02 * np.array(rates)
    assert after[0, [0, 2, 1, 3]] == pytest.approx(expected, rel=1e-12)
    assert not fell[0]
    assert not ended[0]


def test_a_search_lists_the_best_settings_first(printed):
    lines = printed("sweep.py", "--settings", "16", "--epochs", "12")
    at = lines.index("") + 2
    losses = [numbers(line)[-2] for line in lines[at : at + 5]]
    assert losses == sorted(losses)
    assert numbers(lines[at])[-1] > 0.95
    (_, best), (_, chosen) = (numbers(line.partition("  ")[2]) for line in lines[-2:])
    assert min(best, chosen) > 0.93
    assert lines[0].startswith("16 networks, 192 epochs, ")


def test_an_integrator_and_an_optimiser_take_jacobians_for_differences(printed):
    pytest.importorskip("scipy")
    _, tube, by_differences, _, _, arm, arm_by_differences, turns = printed("solvers.py", "--epochs", "60")
    (rows, *_, away), (more, *_, same) = numbers(tube), numbers(by_differences)
    assert 2.0 * rows < more
    assert away == pytest.approx(same, abs=1e-4)
    assert away < 0.5
    (calls, off), (most, _) = numbers(arm), numbers(arm_by_differences)
    assert calls < most
    assert off < 0.03
    assert numbers(turns) == pytest.approx([0.15, 0.85, 0.44], abs=0.05)


def test_the_jacobian_of_a_tube_is_that_of_its_change():
    pytest.importorskip("scipy")
    names = runpy.run_path(str(ROOT / "examples" / "solvers.py"))
    net = fastbp.mlp([2, 8, 2], activation="tanh", dtype="float64")
    tube = names["Tube"](net.predict, net.jacobian)
    z = np.random.default_rng(0).normal(size=2 * names["POINTS"])
    v = np.random.default_rng(1).normal(size=z.size)
    slope = (tube.change(0.0, z + 1e-6 * v) - tube.change(0.0, z - 1e-6 * v)) / 2e-6
    assert np.abs(tube.jacobian(0.0, z) @ v - slope).max() < 1e-4 * np.abs(slope).max()


def test_a_policy_learns_to_swing_a_pole_up(printed):
    *_, before, after = printed("policy.py", "--rounds", "45")
    assert numbers(after)[0] < 0.6 * numbers(before)[0]  # of costs; how far it comes hangs on the last bits of a sine


def test_the_pendulum_is_that_of_gymnasium():
    gymnasium = pytest.importorskip("gymnasium")
    ours, theirs = runpy.run_path(str(ROOT / "examples" / "policy.py"))["Pendulum"](), gymnasium.make("Pendulum-v1")
    theirs.reset(seed=0)
    ours.reset(seed=0)
    rng = np.random.default_rng(0)
    over = False
    while not over:
        action = rng.uniform(-3.0, 3.0, size=1).astype(np.float32)
        ours.angle, ours.spin = map(float, theirs.unwrapped.state)
        found, expected = ours.step(action), theirs.step(action)
        assert found[0] == pytest.approx(expected[0], abs=1e-5)
        assert found[1] == pytest.approx(expected[1], abs=1e-4)
        assert found[2:4] == expected[2:4]
        over = found[3]


def test_a_policy_learns_in_an_environment_of_gymnasium(printed):
    pytest.importorskip("gymnasium")
    *_, before, after = printed("policy.py", "--rounds", "8", "--pairs", "16", "--env", "CartPole-v1")
    assert numbers(before)[0] < 30.0
    assert numbers(after)[0] > 100.0


def test_a_plan_is_made_better_by_the_gradient_of_a_jax_program(printed):
    pytest.importorskip("jax")
    costs, ends = printed("jax_program.py", "--epochs", "40")
    assert numbers(costs)[0] > 50.0
    assert numbers(costs)[1] < 0.1
    assert numbers(ends)[0] == pytest.approx(1.0, abs=0.15)


def test_a_network_in_jax_has_its_own_derivatives_for_rows_of_any_shape():
    jax = pytest.importorskip("jax")
    as_jax = runpy.run_path(str(ROOT / "examples" / "jax_program.py"))["as_jax"]
    net = fastbp.mlp([3, 8, 2], activation="tanh")
    f, rng = as_jax(net), np.random.default_rng(0)
    X = rng.normal(size=(4, 5, 3)).astype(np.float32)
    expected = net.predict(X.reshape(-1, 3)).reshape(4, 5, 2)
    for of in (f, jax.jit(f), jax.vmap(f), jax.vmap(jax.vmap(f))):
        assert np.array_equal(of(X), expected)
    jacobian = net.jacobian(X[0])
    assert np.allclose(jax.jit(jax.vmap(jax.jacrev(f)))(X[0]), jacobian, atol=1e-6)
    assert np.allclose(
        jax.grad(lambda x: (f(x) ** 2).sum())(X),
        2.0 * net.vjp(X.reshape(-1, 3), expected.reshape(-1, 2)).reshape(X.shape),
        atol=1e-5,
    )


def test_a_pole_is_swung_up_by_a_plan_through_a_network(printed):
    pytest.importorskip("casadi")
    _, *ways, true = printed("casadi_control.py", "--epochs", "60")
    held, *_ = numbers(true)
    for way in ways:
        off, torque, iterations, _, largest, angle, spin = numbers(way)
        assert off < 1e-12
        assert torque == pytest.approx(held, abs=0.1)
        assert iterations < 100
        assert largest <= 4.0
        assert abs(angle) < 0.3
        assert abs(spin) < 0.6
    assert [way.split()[0] for way in ways] == (["ONNX", "C"] if shutil.which("cc") else ["ONNX"])
    if len(ways) == 2:
        assert numbers(ways[0])[5:] == pytest.approx(numbers(ways[1])[5:], abs=2e-3)
        assert numbers(ways[1])[0] == 0.0


PROGRAM = re.compile(r"```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```", re.DOTALL)
SOLVERS = PROGRAM.findall((ROOT / "docs" / "solvers.md").read_text())
PACKAGES = ("scipy", "numpy", "casadi", "copy")  # without which a program cannot run


@pytest.mark.parametrize(
    ("package", "of"), list(zip(PACKAGES, SOLVERS, strict=True)), ids=["scipy", "units", "casadi", "learning"]
)
def test_the_programs_of_the_page_of_solvers_print_what_stands_below_them(package, of, tmp_path, monkeypatch, capsys):
    pytest.importorskip(package)
    program, shown = of
    assert package in program
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "solvers.md", "exec"), {})
    assert capsys.readouterr().out == shown


def test_every_example_is_listed_on_their_page():
    page = (ROOT / "examples" / "README.md").read_text()
    names = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
    assert sorted(re.findall(r"^\| \[`(\w+\.py)`\]\(\1\)", page, re.MULTILINE)) == names
    assert re.findall(r"^\$ python examples/(\w+\.py)$", page, re.MULTILINE) == list(
        re.findall(r"^\| \[`(\w+\.py)`", page, re.MULTILINE)
    )
