"""What a step does with gradients, against the twin: clipping, groups of batches, averages, factors, frozen parts."""

from functools import partial

import numpy as np
import pytest

import fastbp as fb
from fastbp import reference
from fastbp.lowering import plans
from tests.model.chains import DTYPES, data, twin

STEPS = 30
ROWS, BATCH = 50, 8  # seven batches a pass, of which the last has two rows
TOLERANCE = 1e-12  # relative, after STEPS steps in float64

RULES = {
    "sgd": (fb.SGD(0.1, momentum=0.9, weight_decay=0.05), partial(reference.sgd, momentum=0.9), 0.05),
    "adam": (fb.Adam(1e-2, weight_decay=0.05), reference.adam, 0.05),
    "adamw": (fb.AdamW(1e-2, weight_decay=0.3), reference.adamw, 0.3),
    "nadam": (fb.NAdam(1e-2, weight_decay=0.1, decoupled=True), partial(reference.nadam, decoupled=True), 0.1),
    "decay-all": (fb.AdamW(1e-2, weight_decay=0.3, decay_all=True), reference.adamw, 0.3),
}
OPTIONS = {
    "nothing": {},
    "clip_norm": {"clip_norm": 0.3},
    "clip_norm-of-all": {"clip_norm": 1e-4},
    "clip_norm-of-none": {"clip_norm": 1e6},
    "clip_value": {"clip_value": 0.01},
    "both-clips": {"clip_norm": 0.3, "clip_value": 0.02},
    "accumulate": {"accumulate": 3},
    "accumulate-more-than-a-pass": {"accumulate": 100},
    "ema": {"ema": 0.9},
    "ema-of-none": {"ema": 0.0},
    "lr_factors": {"lr_factors": {"0.bias": 2.5, "0": 0.1, "5": 0.0, "3.weight": 1.5}},
    "decay_factors": {"decay_factors": {"0": 0.0, "3.bias": 2.0, "5": 3.0, "5.bias": 0.5}},
    "frozen-first": {"frozen": ["0"]},
    "frozen-middle": {"frozen": ["3.weight", "0.bias"]},
    "frozen-last": {"frozen": ("5",)},
    "schedule": {"schedule": fb.Cosine(warmup=4, steps=25)},
    "everything": {
        "clip_norm": 0.2, "clip_value": 0.02, "accumulate": 2, "ema": 0.7, "lr_factors": {"5": 0.3},
        "decay_factors": {"3": 0.5}, "frozen": ["0.weight"], "schedule": fb.Polynomial(steps=40, end=0.1),
    },
}  # fmt: skip

every_rule = pytest.mark.parametrize("rule", RULES)
every_option = pytest.mark.parametrize("option", OPTIONS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def network(dtype="float64", width=17):
    layers = [fb.Linear(9), fb.Tanh(), fb.Dropout(0.3), fb.Linear(width), fb.ReLU(), fb.Linear(4)]
    return fb.Network(layers, inputs=5, seed=3, dtype=dtype)


def trainer(rule="adamw", option="nothing", dtype="float64", **settings):
    return fb.Trainer(network(dtype), optimizer=RULES[rule][0], batch_size=BATCH, **{**OPTIONS[option], **settings})


class Twin:
    """One step after another as the docstrings say, parameter by parameter."""

    def __init__(self, trainer, rule, option):
        optimizer, self.rule, decay = RULES[rule]
        options = OPTIONS[option]
        self.options, self.lr, self.seed = options, optimizer.lr, trainer.seed
        self.slow = twin(trainer.net)
        self.states = {name: {} for name in trainer.net.parameters}
        self.schedule = options.get("schedule", fb.Constant())
        self.group = options.get("accumulate", 1)
        self.step_number, self.average = 0, {name: a.copy() for name, a in self.slow.parameters.items()}
        frozen = options.get("frozen", ())
        self.trained = [name for name in self.states if name not in frozen and name.split(".")[0] not in frozen]
        self.rates = {name: self.factor("lr_factors", name, 1.0) for name in self.states}
        of_all = getattr(optimizer, "decay_all", False)
        own = {name: 1.0 if name.endswith("weight") or of_all else 0.0 for name in self.states}
        self.decays = {name: decay * self.factor("decay_factors", name, own[name]) for name in self.states}

    def factor(self, option, name, default):
        given = self.options.get(option, {})
        return given.get(name, given.get(name.split(".")[0], default))

    def step(self, batches, total=None):
        """One step on the mean of the mean gradients of batches; their losses."""
        losses, summed = [], dict.fromkeys(self.trained, 0.0)
        for number, (X, y) in enumerate(batches):
            draw = self.step_number * self.group + number
            loss, gradients = self.slow.loss_and_gradients(X, y, step=draw, seed=self.seed)
            losses.append(loss)
            summed = {name: summed[name] + gradients[name] for name in self.trained}
        gradients = [summed[name] / len(batches) for name in self.trained]
        if "clip_norm" in self.options:
            gradients, _ = reference.clip_norm(gradients, self.options["clip_norm"])
        if "clip_value" in self.options:
            gradients = reference.clip_value(gradients, self.options["clip_value"])
        rate = self.lr * float(self.schedule.factors(self.step_number, 1, total)[0])
        for name, g in zip(self.trained, gradients, strict=True):
            theta, decay = self.slow.parameters[name], self.decays[name]
            after = self.rule(theta, g, self.states[name], lr=rate * self.rates[name], weight_decay=decay)
            theta[...], self.states[name] = after
        keep = self.options.get("ema", 0.0) if self.step_number else 0.0  # it begins with what the first step leaves
        for name, mean in self.average.items():
            mean[...] = keep * mean + (1 - keep) * self.slow.parameters[name]
        self.step_number += 1
        return losses

    def passes(self, X, y, steps, total=None):
        """Steps over shuffled batches, group by group; what is left of a pass is a group."""
        losses, epoch = [], 0
        while steps:
            order = reference.permutation(len(X), self.seed, epoch)
            batches = [(X[order[i : i + BATCH]], y[order[i : i + BATCH]]) for i in range(0, len(X), BATCH)]
            for i in range(0, len(batches), self.group):
                if steps:
                    losses += self.step(batches[i : i + self.group], total)
                    steps -= 1
            epoch += 1
        return losses


def assert_follows(net, parameters):
    for name, expected in parameters.items():
        apart = np.abs(net.parameters[name] - expected).max() / np.abs(expected).max()
        assert apart < TOLERANCE, name


# Against the twin


@every_option
@every_rule
def test_run_follows_the_twin(rule, option):
    training = trainer(rule, option)
    slow = Twin(training, rule, option)
    X, y = data(training.net, ROWS)
    start = training.net.parameters["3.bias"]
    training.run(X, y, steps=STEPS)
    slow.passes(X, y, STEPS)
    assert_follows(training.net, slow.slow.parameters)
    if "ema" in OPTIONS[option]:
        assert_follows(training.averaged, slow.average)
    assert not np.array_equal(training.net.parameters["3.bias"], start)


@every_option
@every_rule
def test_step_follows_the_twin(rule, option):
    """A call of `step` is a step, however many batches others gather."""
    training = trainer(rule, option)
    slow = Twin(training, rule, option)
    for number in range(STEPS):
        X, y = data(training.net, 1 + 5 * number % 13, seed=number)
        assert abs(training.step(X, y) - slow.step([(X, y)])[0]) < 1e-12
    assert_follows(training.net, slow.slow.parameters)
    if "ema" in OPTIONS[option]:
        assert_follows(training.averaged, slow.average)


@every_option
def test_fit_follows_the_twin(option):
    training = trainer("adamw", option)
    slow = Twin(training, "adamw", option)
    X, y = data(training.net, ROWS)
    a_pass = -(-7 // OPTIONS[option].get("accumulate", 1))
    history = training.fit(X, y, epochs=5)
    losses = slow.passes(X, y, 5 * a_pass)
    assert_follows(training.net, slow.slow.parameters)
    assert (history.steps, history.samples) == (5 * a_pass, 5 * ROWS)
    sizes = [8, 8, 8, 8, 8, 8, 2] * 5
    means = [np.average(losses[i : i + 7], weights=sizes[i : i + 7]) for i in range(0, 35, 7)]
    np.testing.assert_allclose(history.loss, means, rtol=1e-12)


@pytest.mark.parametrize("option", ["nothing", "clip_norm"])
def test_other_settings_of_an_optimiser_go_on_with_its_moments(option):
    training = trainer("adam", option)
    slow = Twin(training, "adam", option)
    for number in range(STEPS):
        if number == 10:
            training.optimizer = fb.Adam(1e-3, betas=(0.5, 0.9), eps=1e-4, weight_decay=0.2)
            slow.rule, slow.lr = partial(reference.adam, betas=(0.5, 0.9), eps=1e-4), 1e-3
            slow.decays = {name: 4 * decay for name, decay in slow.decays.items()}
        X, y = data(training.net, 8, seed=number)
        if number % 2:
            training.step(X, y)
            slow.step([(X, y)])
        else:
            training.run(X, y, steps=1)
            order = reference.permutation(8, training.seed, number // 2)
            slow.step([(X[order], y[order])])
    assert_follows(training.net, slow.slow.parameters)


# Schedules that end with the run


@pytest.mark.parametrize("how", ["run", "fit"])
@pytest.mark.parametrize(
    "schedule", [fb.Cosine(), fb.OneCycle(), fb.Polynomial(warmup=3), fb.FlatCosine(), fb.CosLog4()]
)
def test_a_schedule_that_is_not_told_its_steps_ends_with_the_call(schedule, how):
    training = trainer(schedule=schedule)
    slow = Twin(training, "adamw", "nothing")
    slow.schedule = schedule
    X, y = data(training.net, ROWS)
    if how == "run":
        training.run(X, y, steps=28)
    else:
        history = training.fit(X, y, epochs=4)
        last = [schedule.factors(7 * epoch + 6, 1, 28)[0] * 1e-2 for epoch in range(4)]
        np.testing.assert_allclose(history.lr, last, rtol=1e-15)
    slow.passes(X, y, 28, total=28)
    assert_follows(training.net, slow.slow.parameters)


def test_a_schedule_counts_the_steps_of_groups_of_batches():
    training = trainer(schedule=fb.Polynomial(), accumulate=3)
    X, y = data(training.net, ROWS)
    history = training.fit(X, y, epochs=4)  # three steps a pass, twelve in all
    np.testing.assert_allclose(history.lr, [1e-2 * (1 - t / 12) for t in (2, 5, 8, 11)], rtol=1e-14)


# Groups of batches


def test_what_is_left_of_a_pass_is_a_step():
    training = trainer(option="accumulate")
    X, y = data(training.net, ROWS)
    samples = [training.run(X, y, steps=1).samples for _ in range(5)]
    assert samples == [24, 24, 2, 24, 24]
    assert training.steps_done == 5


# Averages


@every_dtype
def test_an_average_is_of_the_parameters_after_each_step(dtype):
    training = trainer(option="ema", dtype=dtype)
    X, y = data(training.net, ROWS)
    mean, expected = training.averaged, None
    for _ in range(10):
        training.run(X, y, steps=1)
        now = training.net.flat.astype(np.float64)
        expected = now if expected is None else 0.9 * expected + 0.1 * now
        np.testing.assert_allclose(
            mean.flat, expected, rtol=1e-13 if dtype == "float64" else 1e-6, atol=1e-7 if dtype == "float32" else 0
        )


def test_an_average_begins_as_the_parameters():
    training = trainer(option="ema")
    assert np.array_equal(training.averaged.flat, training.net.flat)


def test_an_average_is_of_every_row_of_a_table_after_each_step():
    """A category that does not occur has a row too, which stays as it is while its average goes on."""
    layers = [fb.Embedding({0: (4, 3)}), fb.Linear(4)]
    training = fb.Trainer(fb.Network(layers, inputs=2, seed=1, dtype="float64"), optimizer=fb.SGD(0.5), ema=0.5)
    rng, expected = np.random.default_rng(0), None
    for code in (0, 1, 2, 0, 3, 3, 1):
        X = np.stack([np.full(6, code), rng.standard_normal(6)], axis=1)
        training.step(X, rng.integers(0, 4, 6))
        now = training.net.flat
        expected = now if expected is None else 0.5 * expected + 0.5 * now
        np.testing.assert_allclose(training.averaged.flat, expected, rtol=1e-13)


def test_validation_looks_at_the_average():
    training = trainer(option="ema")
    X, y = data(training.net, ROWS)
    held_out = data(training.net, 20, seed=2)
    history = training.fit(X, y, epochs=2, validation=held_out, metrics=["accuracy"])
    assert training.evaluated is training.averaged
    assert history.val_loss[-1] == training.averaged.evaluate(*held_out) != training.net.evaluate(*held_out)
    right = training.averaged.predict(held_out[0]).argmax(axis=1) == held_out[1]
    assert history["val_accuracy"][-1] == right.mean()


# Frozen parameters


@every_dtype
@pytest.mark.parametrize("more", [{}, {"clip_norm": 0.1, "accumulate": 2, "ema": 0.9}], ids=["alone", "with-others"])
def test_frozen_parameters_keep_their_bits(more, dtype):
    layers = [fb.Embedding({0: (4, 3)}), fb.Linear(9), fb.LayerNorm(), fb.PReLU(), fb.Scale(), fb.BatchNorm()]
    layers.append(fb.Linear(4))
    names = list(fb.Network(layers, inputs=4).parameters)
    rng = np.random.default_rng(0)
    X, y = np.column_stack([np.arange(24) % 4, rng.standard_normal((24, 3))]), rng.integers(0, 4, 24)
    for name in [*names, "0", "1", "2", "5", "6"]:
        net = fb.Network(layers, inputs=4, seed=2, dtype=dtype)
        before = {known: a.tobytes() for known, a in net.parameters.items()}
        training = fb.Trainer(net, batch_size=8, optimizer=fb.AdamW(0.1, decay_all=True), frozen=[name], **more)
        training.run(X, y, steps=3)
        training.step(X, y)
        still = {known for known, a in net.parameters.items() if a.tobytes() == before[known]}
        assert still == {known for known in names if known == name or known.split(".")[0] == name}


EVERY_KIND = [
    fb.Embedding({0: (4, 3)}), fb.Linear(9), fb.LayerNorm(), fb.PReLU(), fb.Linear(7, bias=False), fb.RMSNorm(),
    fb.PReLU(per_feature=True), fb.Scale(), fb.BatchNorm(), fb.ReLU(), fb.Linear(6, ntk=True), fb.GELU(), fb.Linear(4),
]  # fmt: skip
EVERY_NAME = list(fb.Network(EVERY_KIND, inputs=4).parameters)
WAITING = {"at-once": {}, "waiting": {"clip_norm": 1e9}, "accumulating": {"accumulate": 2}}


@pytest.mark.parametrize("wait", WAITING)
@pytest.mark.parametrize("name", [*EVERY_NAME, "0", "1", "4", "8", "10", "12"])
@pytest.mark.parametrize("what", ["frozen", "lr_factors", "decay_factors"])
def test_one_parameter_is_treated_and_no_other(what, name, wait):
    """A step of p - η f (g + λ d p), for parameters of every kind of layer."""
    net = fb.Network(EVERY_KIND, inputs=4, seed=2, dtype="float64")
    rng = np.random.default_rng(0)
    for known in net.parameters:  # so that nothing is zero or one
        net.parameters[known] = rng.uniform(0.5, 1.5, net.parameters[known].shape)
    X, y = np.column_stack([np.arange(12) % 4, rng.standard_normal((12, 3))]), rng.integers(0, 4, 12)
    before = {known: net.parameters[known] for known in net.parameters}
    _, gradients = net.loss_and_gradients(X, y, training=True)
    settings = {what: [name] if what == "frozen" else {name: 0.25}, **WAITING[wait]}
    optimizer = fb.SGD(0.5, weight_decay=0.5, decay_all=True)
    fb.Trainer(net, optimizer=optimizer, batch_size=12, **settings).step(X, y)
    for known, p in before.items():
        treated = known == name or known.split(".")[0] == name
        rate = {"frozen": 0.0, "lr_factors": 0.25}.get(what, 1.0) if treated else 1.0
        decay = 0.25 if what == "decay_factors" and treated else 1.0
        expected = p - 0.5 * rate * (gradients[known] + 0.5 * decay * p)
        np.testing.assert_allclose(net.parameters[known], expected, rtol=1e-12, atol=1e-14, err_msg=known)


def test_clipping_does_not_count_what_is_frozen():
    ways = []
    for limit in (None, 1e3):  # above the norm of what is trained, below that of what is not
        net = fb.Network([fb.Linear(4)], inputs=3, seed=0, dtype="float64")
        X = np.full((4, 3), 1e6)
        fb.Trainer(net, optimizer=fb.SGD(1.0), frozen=["0.weight"], clip_norm=limit).step(X, [0, 1, 2, 3])
        ways.append(net.flat.tobytes())
    assert ways[0] == ways[1]


def test_gradients_whose_squares_overflow_are_clipped_and_not_lost():
    net = fb.Network([fb.Linear(3)], inputs=4, seed=1)
    before = net.flat.copy()
    X, y = np.full((8, 4), 1e10), np.zeros((8, 3))
    _, gradients = net.loss_and_gradients(X, y, loss="mse")
    whole = np.concatenate([g.ravel().astype(np.float64) for g in gradients.values()])
    fb.Trainer(net, loss="mse", optimizer=fb.SGD(1.0), batch_size=8, clip_norm=1.0).step(X, y)
    moved = np.concatenate([net.parameters[name].ravel() - old for name, old in named(net, before)])
    np.testing.assert_allclose(-moved, whole / np.linalg.norm(whole), rtol=1e-5, atol=1e-6)


def named(net, flat):
    """The parameters that a vector holds, by name."""
    other = fb.Network([fb.Linear(3)], inputs=4, dtype=net.dtype.name)
    other.flat = flat
    return [(name, other.parameters[name].ravel()) for name in other.parameters]


# The same bits


@every_dtype
@every_option
def test_two_threads_have_the_bits_of_one(option, dtype, monkeypatch):
    monkeypatch.setattr(plans, "SERIAL_WORK", 0)
    nets = [network(dtype, width=70) for _ in range(2)]
    X, y = data(nets[0], 200)
    for net, threads in zip(nets, (1, 2), strict=True):
        settings = {"optimizer": RULES["adam"][0], "batch_size": 64, "threads": threads, **OPTIONS[option]}
        fb.Trainer(net, **settings).run(X, y, steps=12)
    assert nets[0].flat.tobytes() == nets[1].flat.tobytes()


@every_dtype
@every_option
@every_rule
def test_several_runs_have_the_bits_of_one(rule, option, dtype):
    whole, parts = (trainer(rule, option, dtype) for _ in range(2))
    X, y = data(whole.net, ROWS)
    whole.run(X, y, steps=STEPS)
    for steps in (1, 2, 4, 7, 16):
        parts.run(X, y, steps=steps)
    assert whole.net.flat.tobytes() == parts.net.flat.tobytes()
    if "ema" in OPTIONS[option]:
        assert whole.averaged.flat.tobytes() == parts.averaged.flat.tobytes()


# Names of kinds of layers


def rates(**settings):
    layers = [fb.Scale(), fb.Linear(5), fb.Parametric("selu"), fb.Linear(4), fb.LayerNorm()]
    net = fb.Network(layers, inputs=3)
    return {name: way and way.rate for name, way in fb.Trainer(net, **settings)._update.treatment.items()}


def test_a_kind_stands_for_all_its_layers_and_a_part_of_it_for_that():
    found = rates(lr_factors={"scale": 6.0, "linear.bias": 0.1, "parametric": 0.5})
    others = {"0.weight": 6.0, "1.bias": 0.1, "3.bias": 0.1, "2.weight": 0.5}
    assert found == dict.fromkeys(found, 1.0) | others


def test_layers_go_before_their_kind_and_parameters_before_layers_in_any_order():
    given = [("3.bias", 4.0), ("linear.bias", 2.0), ("3", 3.0), ("linear", 1.5)]
    for order in (given, given[::-1], given[2:] + given[:2]):
        found = rates(lr_factors=dict(order))
        assert [found[f"{i}.{part}"] for i in (1, 3) for part in ("weight", "bias")] == [1.5, 2.0, 3.0, 4.0]


def test_kinds_are_frozen_and_penalised_too():
    assert [name for name, rate in rates(frozen=["linear.weight", "layer_norm"]).items() if rate is None] == [
        *("1.weight", "3.weight", "4.weight", "4.bias"),
    ]
    net = fb.Network([fb.Scale(), fb.Linear(5)], inputs=3)
    ways = fb.Trainer(net, penalty={"scale": "abs(w)"})._update.treatment
    assert [name for name, way in ways.items() if way.penalty] == ["0.weight"]


@pytest.mark.parametrize("name", ["relu", "prelu", "linear.gain", "embedding", "lin"])
def test_a_kind_that_has_no_parameters_here_is_refused(name):
    with pytest.raises(fb.ConfigError, match="must name layers or parameters"):
        rates(lr_factors={name: 2.0})
