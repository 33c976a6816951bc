"""A child of a process that trained on several threads: what it asks for is right, or refused with nothing changed."""

import os

import pytest

from tests.faults.test_forks import run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are POSIX's")

CODE = """
rng = np.random.default_rng(1)
X, y = rng.standard_normal((2048, 64)).astype("f4"), np.arange(2048) % 10
net = fb.mlp([64, 256, 256, 10], seed=2)
trainer = fb.Trainer(net, batch_size=256, threads=2)
trainer.fit(X, y, 2)
net.predict(X, threads=2)
before = net.flat.tobytes(), trainer.steps_done
again = fb.mlp([64, 256, 256, 10], seed=2)
again.flat = net.flat
alone = fb.Trainer(again, batch_size=256, threads=1)
calls = {
    "predict": lambda: net.predict(X[:3]).tobytes().hex(),
    "predict on one": lambda: hashlib.sha256(net.predict(X, threads=1).tobytes()).hexdigest(),
    "step on one": lambda: alone.step(X[:256], y[:256]),
    "predict on two": lambda: net.predict(X, threads=2),
    "step": lambda: trainer.step(X, y),
    "run": lambda: trainer.run(X, y, 300),
    "fit": lambda: trainer.fit(X, y, 30),
    "gradients": lambda: net.loss_and_gradients(X, y),
}
def told(call):
    try:
        answer = call()
    except ForkError as error:
        answer = str(error).splitlines()[0]
    return str(answer), (net.flat.tobytes(), trainer.steps_done) == before
for name, call in calls.items():
    child = in_a_child(lambda: told(call))
    right = child == str(told(call)) if "two" not in name and name not in ("step", "run", "fit", "gradients") else None
    print(name, right, child, sep=" | ")
"""
REFUSED = "this process was forked after fastbp had started its threads, so its kernels run on one thread only here"


@pytest.mark.parametrize("team", ["auto", "all"])
def test_a_child_works_on_one_thread_and_refuses_more_before_anything_changes(team):
    lines = [line.split(" | ") for line in run(CODE, FASTBP_TEAM=team, FASTBP_NUM_THREADS="2")]
    found = {name: (right, child) for name, right, child in lines}
    for name in ("predict", "predict on one", "step on one"):
        assert found.pop(name)[0] == "True"
    assert sorted(found) == ["fit", "gradients", "predict on two", "run", "step"]
    assert {child for _, child in found.values()} == {str((REFUSED, True))}
