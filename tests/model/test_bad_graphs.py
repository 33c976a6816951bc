"""Graphs that cannot be, and data that do not fit them: the sentence for each."""

import copy

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError, ConfigTypeError, DataError, DataTypeError, FastbpError, ShapeError
from fastbp.spec.graph_data import from_data, to_data
from tests.config.broken_forms import LOSSES

X, Z = np.ones((8, 4)), np.ones((8, 3))
Y = np.zeros((8, 2)), np.zeros((8, 1))
x, b = fb.Input(4), fb.Input(3, name="b")
h, g = fb.Linear(5)(x), fb.Linear(6)(x, name="g")
LINEAR = "Linear(features=5, bias=True)"
NO_TRUTH = (
    "a network must be the same for all rows, so a signal has no truth value\n"
    "hint: `fb.relu(h)` or a product with `fb.sigmoid(g)` chooses row by row"
)
CUT = "a signal must be cut as `h[:, 2:5]` or `h[:, 0]`, all rows first, got"
CALLED = "hint: a Network takes numbers, a layer takes signals"
NAME = "`name` must be of letters, digits, `-` and `_`, a letter first, got"
MSE = "MSE(reduction='mean')"


def net(inputs=(x, b), outputs=None):
    return fb.Network(inputs=list(inputs), outputs=outputs or [fb.Linear(2)(fb.concat([h, b])), fb.Linear(1)(h)])


def twice(layer, between=lambda signal: signal):
    return fb.Network(inputs=x, outputs=fb.Linear(2)(layer(between(layer(x)))))


def named_twice():
    layer = fb.Linear(4)
    return fb.Network(inputs=x, outputs=layer(layer(x, name="one"), name="other"))


# (what is done, the error and its sentence)
SIGNALS = {
    "widths": (lambda: h + g, ShapeError, f"`add` must have signals of the same width, got `5` of {LINEAR} and `6` of"
               " `g`, Linear(features=6, bias=True)"),
    "width of an input": (lambda: h * x, ShapeError,
                          f"`multiply` must have signals of the same width, got `5` of {LINEAR} and `4` of Input(4)"),
    "layer called with an array": (lambda: fb.Linear(3)(X), ConfigTypeError,
                                   f"`Linear` must be called with signals such as `fb.Input(64)`, got"
                                   f" `ndarray`\n{CALLED}"),
    "layer called with a layer": (lambda: fb.Linear(3)(fb.ReLU()), ConfigTypeError,
                                  f"`Linear` must be called with signals such as `fb.Input(64)`, got `ReLU`\n{CALLED}"),
    "no signal": (lambda: fb.Linear(3)(), ConfigError, "`Linear` must have 1 input signal, got `0`"),
    "two signals": (lambda: fb.Linear(3)(h, g), ConfigError, "`Linear` must have 1 input signal, got `2`"),
    "one signal": (lambda: fb.Add()(h), ConfigError, "`Add` must have at least 2 input signals, got `1`"),
    "three signals": (lambda: fb.Divide()(h, h, h), ConfigError, "`Divide` must have 2 input signals, got `3`"),
    "concat of one": (lambda: fb.concat([h]), ConfigError, "`Concat` must have at least 2 input signals, got `1`"),
    "concat of none": (lambda: fb.concat([]), ConfigError, "`Concat` must have at least 2 input signals, got `0`"),
    "concat of a signal": (lambda: fb.concat(h), ConfigTypeError,
                           f"`signals` must be a list of signals, got `Signal(features=5, of={LINEAR})`"),
    "features no number": (lambda: fb.Linear(h), ConfigTypeError,
                           f"`Linear.features` must be a whole number, got `Signal(features=5, of={LINEAR})`"),
    "if": (lambda: 1 if h else 0, ConfigError, NO_TRUTH),
    "if greater": (lambda: 1 if h > 0.0 else 0, ConfigError, NO_TRUTH),
    "number below": (lambda: h > 0.0, ConfigError, NO_TRUTH),
    "at least": (lambda: h >= g, ConfigError, NO_TRUTH),
    "at most": (lambda: h <= g, ConfigError, NO_TRUTH),
    "and": (lambda: h and g, ConfigError, NO_TRUTH),
    "not": (lambda: not h, ConfigError, NO_TRUTH),
    "max": (lambda: max(h, g), ConfigError, NO_TRUTH),
    "iteration": (lambda: list(h), ConfigTypeError,
                  "a signal must not be iterated over; `h[:, 0]` is its first column"),
    "rows cut": (lambda: h[0], ConfigError, f"{CUT} `h[0]`"),
    "some rows": (lambda: h[1:, 0], ConfigError, f"{CUT} `h[(slice(1, None, None), 0)]`"),
    "column beyond": (lambda: h[:, 5], ShapeError, "`column` must be one of the 5 of its signal, got `5`"),
    "column before": (lambda: h[:, -6], ShapeError, "`column` must be one of the 5 of its signal, got `-6`"),
    "columns of a list": (lambda: h[:, [0, 1]], ConfigTypeError, "`column` must be a whole number, got `[0, 1]`"),
    "column a fraction": (lambda: h[:, 1.0:2], ConfigTypeError, "`column` must be a whole number, got `1.0`"),
    "column a switch": (lambda: h[:, True], ConfigTypeError, "`column` must be a whole number, got `True`"),
    "no columns": (lambda: h[:, 3:2], ConfigError,
                   "`columns` must be consecutive, and at least one, got `3:2`"),
    "every other column": (lambda: h[:, ::2], ConfigError,
                           "`columns` must be consecutive, and at least one, got `::2`"),
    "slice beyond": (lambda: fb.Slice(3, 9)(h), ShapeError,
                     "`Slice.stop` must be at most 5, the width of its signal, got `9`"),
    "slice of nothing": (lambda: fb.Slice(3, 3), ConfigError, "`Slice.stop` must be above `start`, 3, got `3`"),
    "repeat of many": (lambda: fb.Repeat(3)(h), ShapeError, "`Repeat` must have a signal of width 1, got `5`"),
    "array beside": (lambda: h + X, ConfigTypeError,
                     "a signal must be combined with signals and numbers, got `ndarray`"),
    "array before": (lambda: X * h, ConfigTypeError,
                     "a signal must be combined with signals and numbers, got `ndarray`"),
    "text beside": (lambda: h - "1", ConfigTypeError, "a signal must be combined with signals and numbers, got `str`"),
    "switch beside": (lambda: h + True, ConfigTypeError,
                      "a signal must be combined with signals and numbers, got `bool`"),
    "layer beside": (lambda: fb.ReLU() / h, ConfigTypeError,
                     "a signal must be combined with signals and numbers, got `ReLU`"),
    "class beside": (lambda: h * fb.ReLU, ConfigTypeError,
                     "a signal must be combined with signals and numbers, got `type`"),
    "NaN beside": (lambda: h + float("nan"), ConfigError, "a number combined with a signal must be finite, got `nan`"),
    "infinity beside": (
        lambda: float("inf") / h, ConfigError, "a number combined with a signal must be finite, got `inf`"),
    "by zero": (lambda: h / 0, ConfigError, "a signal must not be divided by `0.0`"),
    "by next to zero": (lambda: h / 1e-320, ConfigError, "a signal must not be divided by `1e-320`"),
    "power zero": (lambda: h**0, ConfigError, "`power` must be between 1 and 16, got `0`"),
    "power negative": (lambda: h**-1, ConfigError, "`power` must be between 1 and 16, got `-1`"),
    "power too high": (lambda: h**17, ConfigError, "`power` must be between 1 and 16, got `17`"),
    "root": (lambda: h**0.5, ConfigTypeError, "`power` must be a whole number, got `0.5`"),
    **{
        f"name {name!r}": (lambda name=name: fb.Linear(2)(x, name=name), ConfigError, f"{NAME} `{name}`")
        for name in ("1a", "a.b", "", "a b", "é", 3)
    },
    "name of an input": (lambda: fb.Input(3, name="a b"), ConfigError, f"{NAME} `a b`"),
}  # fmt: skip
NETWORKS = {
    "input missing": (lambda: fb.Network(inputs=x, outputs=fb.concat([h, b])), ConfigError,
                      "`inputs` must have every input that outputs depend on, but lack `b`, Input(3)"),
    "input without a name missing": (lambda: fb.Network(inputs=b, outputs=fb.concat([h, b])), ConfigError,
                                     "`inputs` must have every input that outputs depend on, but lack"
                                     " Input(4)"),
    "inside as input": (lambda: fb.Network(inputs=h, outputs=fb.Linear(2)(h)), ConfigError,
                        f"`inputs[0]` must be an `fb.Input`, got the output of {LINEAR}"),
    "input as output": (lambda: fb.Network(inputs=[x, b], outputs=[h, b]), ConfigError,
                        "`outputs[1]` must be the output of a layer, got `b`, Input(3)"),
    "input twice": (lambda: fb.Network(inputs=[x, x], outputs=h), ConfigError,
                    "`inputs` must have every input only once"),
    "names of inputs": (lambda: fb.Network(inputs=[b, fb.Input(2, name="b")], outputs=fb.Tanh()(b)), ConfigError,
                        "`inputs` must have different names, got `b, b`"),
    "name as if by number": (lambda: fb.Network(inputs=[x, fb.Input(2, name="input0")], outputs=h), ConfigError,
                             "`inputs` must have different names, got `input0, input0`"),
    "name of two layers": (lambda: fb.Network(inputs=x, outputs=fb.Tanh()(fb.Linear(2)(x, name="a"), name="a")),
                           ConfigError, "`name` must be unique, got `a` for two layers"),
    "two names of a layer": (named_twice, ConfigError,
                             "`name` must be the same in all uses of a shared layer, got `one` and `other`"),
    "shared at another width": (lambda: twice(fb.Linear(5)), ShapeError,
                                f"`0`, {LINEAR}, must have signals of the same width in every use, got `4` and"
                                " `5`"),
    "batch norm shared": (lambda: twice(fb.BatchNorm(), fb.Tanh()), ConfigError,
                          "`BatchNorm` must be used once, as it keeps statistics of its rows"),
    "batch norm without parameters shared": (lambda: twice(fb.BatchNorm(affine=False)), ConfigError,
                                             "`BatchNorm` must be used once, as it keeps statistics of its"
                                             " rows"),
    "embedding shared": (lambda: (lambda e: fb.Network(inputs=x, outputs=e(x) + e(x)))(fb.Embedding({0: (3, 2)})),
                         ConfigError, "`Embedding` must be used once, as it reads the rows of the data"),
    "embedding behind": (lambda: fb.Network(inputs=x, outputs=fb.Embedding({0: (3, 2)})(h)), ConfigError,
                         "`layers[1]` is an Embedding, which must be the first layer"),
    "no outputs": (lambda: fb.Network(inputs=x), ConfigError,
                   "`outputs` must be given with an `fb.Input`"),
    "outputs of a list": (lambda: fb.Network([fb.Linear(2)], inputs=x, outputs=h), ConfigError,
                          "`layers` must not be given together with `outputs`, which define the layers"),
    "outputs empty": (lambda: fb.Network(inputs=x, outputs=[]), ConfigError,
                      "`outputs` must have at least one signal, got `[]`"),
    "inputs empty": (lambda: fb.Network(inputs=[], outputs=h), ConfigError,
                     "`inputs` must have at least one signal, got `[]`"),
    "output a layer": (lambda: fb.Network(inputs=x, outputs=[fb.Linear(3)]), ConfigTypeError,
                       "`outputs[0]` must be a signal such as `fb.Input(64)`, got `Linear(features=3, bias=True)`"),
    "inputs a number": (lambda: fb.Network(inputs=4, outputs=h), ConfigTypeError,
                        "`inputs` must be a signal such as `fb.Input(64)`, got `4`"),
    "signals by place": (lambda: fb.Network(x, h), ConfigTypeError,
                         "`layers` must be a list of layers, got `Signal(features=4, of=Input)`\n"
                         "hint: `fb.Network(inputs=x, outputs=h)` takes signals"),
    "signals in a list": (lambda: fb.Network([h], inputs=4), ConfigTypeError,
                          "`layers[0]` must be a layer such as `fb.Linear(10)`, got"
                          f" `Signal(features=5, of={LINEAR})`"),
    "list of layers of an input": (lambda: fb.Network([fb.Linear(2)], inputs=x), ConfigTypeError,
                                   "`inputs` must be a whole number, got `Signal(features=4, of=Input)`"),
    "gate in a list": (lambda: fb.Network([fb.Linear(2), fb.Add()], inputs=3), ConfigError,
                       "`Add` must have at least 2 input signals, got `1`"),
}  # fmt: skip
ROWS = {
    "one array of two": (lambda: net().predict((X,)), ShapeError,
                         "`X` must have one array for each of 2 inputs, got `1`"),
    "three arrays of two": (lambda: net().predict((X, Z, Z)), ShapeError,
                            "`X` must have one array for each of 2 inputs, got `3`"),
    "inputs exchanged": (lambda: net().predict((Z, X)), ShapeError,
                         "`X[0]` must have shape `(rows, 4)`, got `(8, 3)`"),
    "other rows in an input": (lambda: net().predict((X, Z[:5])), ShapeError,
                               "`X` must have as many rows in every input, got `8` and `5`"),
    "other names": (lambda: net().predict({"a": X, "b": Z}), ShapeError, "`X` must have `input0`, `b`, got `a`, `b`"),
    "one input alone": (lambda: net().predict(X), ShapeError, "`X` must have shape `(rows, 7)`, got `(8, 4)`"),
    "text": (lambda: net().predict((X, "b")), DataTypeError, "`X[1]` must be real numbers, got dtype `<U1`"),
    "one cotangent of two": (lambda: net().vjp((X, Z), Y[:1]), ShapeError,
                             "`u` must have one array for each of 2 outputs, got `1`"),
    "cotangents exchanged": (lambda: net().vjp((X, Z), Y[::-1]), ShapeError,
                             "`u[0]` must have shape `(rows, 2)`, got `(8, 1)`"),
    "rows of cotangents": (lambda: net().vjp((X, Z), (Y[0][:3], Y[1][:3])), ShapeError,
                           "`u` must have as many rows as `X`, `8`, got `3`"),
    "names of cotangents": (lambda: net().vjp((X, Z), {"a": X}), ShapeError,
                            "`u` must have `output0`, `output1`, got `a`"),
    "one tangent of two": (lambda: net().jvp((X, Z), (X,)), ShapeError,
                           "`v` must have one array for each of 2 inputs, got `1`"),
    "rows of a parameters' vjp": (lambda: net().parameter_vjp((X, Z), (Y[0][:3], Y[1][:3])), ShapeError,
                                  "`u` must have as many rows as `X`, `8`, got `3`"),
    "width of a parameters' vjp": (lambda: net().parameter_vjp((X, Z), X), ShapeError,
                                   "`u` must have shape `(rows, 3)`, got `(8, 4)`"),
    "NaN in a parameters' vjp": (lambda: net().parameter_vjp((X, Z), (np.nan * Y[0], Y[1])), DataError,
                                 "`u` must be finite, got `nan` at `[0, 0]`"),
    "out of a jacobian": (lambda: net().jacobian((X, Z), out=np.empty(3)), ShapeError,
                          "`out` must be an array of shape `(8, 3, 7)` of `float32`, got `(3,)` of `float64`"),
    "mode": (lambda: net().jacobian((X, Z), "back"), ConfigError,
             "`mode` must be one of `auto`, `forward`, `reverse`, got `back`"),
    "gradient of which": (lambda: net().input_gradient((X, Z)), ConfigError,
                          "`output` must be given for a network with 3 outputs, got `None`"),
    "gradient of none": (lambda: net().input_gradient((X, Z), 3), ConfigError,
                         "`output` must be below 3, the number of outputs, got `3`"),
    "targets side by side": (lambda: net().evaluate((X, Z), np.hstack(Y), ["mse", "mse"]), DataTypeError,
                             "`y` must be a tuple with the targets of each of 2 outputs, got `ndarray`"),
    "targets of one": (lambda: net().evaluate((X, Z), Y[:1], ["mse", "mse"]), DataTypeError,
                       "`y` must be a tuple with the targets of each of 2 outputs, got `1`"),
    "targets exchanged": (lambda: net().evaluate((X, Z), Y[::-1], ["mse", "mse"]), ShapeError,
                          "`y[0]` must have shape `(8, 2)`, got `(8, 1)`"),
    "rows of targets": (lambda: net().evaluate((X, Z), (Y[0], Y[1][:4]), ["mse", "mse"]), ShapeError,
                        "`y[1]` must have shape `(8, 1)`, got `(4, 1)`"),
    "NaN in targets": (lambda: net().evaluate((X, Z), (Y[0], np.nan * Y[1]), ["mse", "mse"]), DataError,
                       "`y[1]` must be finite, got `nan` at `[0, 0]`"),
}  # fmt: skip


def fitted(**words):
    return fb.Trainer(net(), ["mse", "mse"]).fit((X, Z), Y, **words)


JOINT = {
    "one loss": (lambda: fb.Trainer(net(), "mse"), ConfigError,
                 "`loss` must be a list of 2 losses, one for each output, got `'mse'`"),
    "list of one": (lambda: fb.Trainer(net(), ["mse"]), ConfigError,
                    "`loss` must be a list of 2 losses, one for each output, got `['mse']`"),
    "three losses": (lambda: net().evaluate((X, Z), Y, ["mse"] * 3), ConfigError,
                     "`loss` must be a list of 2 losses, one for each output, got `['mse', 'mse', 'mse']`"),
    "list for one output": (lambda: fb.Trainer(fb.mlp([4, 2]), ["mse"]), ConfigTypeError,
                            "`loss` must be the name of a loss, or one such as `fb.Huber(delta=1.0)`, got"
                            " `['mse']`"),
    "joint for one output": (lambda: fb.Trainer(fb.mlp([4, 2]), fb.JointLoss(["mse", "mse"])), ConfigError,
                             f"`loss` must be one loss, got `JointLoss(losses=({MSE}, {MSE}), weights=(1.0, 1.0))`"),
    "misspelt": (lambda: fb.JointLoss(["mse", "mze"]), ConfigError,
                 f"`losses[1]` must be one of {LOSSES}, got `mze`\nhint: did you mean `mse`?"),
    "a class": (lambda: fb.JointLoss([fb.MSE, "mse"]), ConfigTypeError,
                "`losses[0]` must be the name of a loss, or one such as `fb.Huber(delta=1.0)`, got"
                " `<class 'fastbp.spec.number_losses.MSE'>`"),
    "no list": (lambda: fb.JointLoss("mse"), ConfigTypeError,
                "`losses` must be a list of losses, one for each output, got `'mse'`"),
    "joint of one": (lambda: fb.JointLoss(["mse"]), ConfigError,
                     "`losses` must be at least two, one for each output, got `['mse']`"),
    "joint in joint": (lambda: fb.JointLoss(["mse", fb.JointLoss(["mse", "mse"])]), ConfigError,
                       "`losses[1]` must be the loss of one output, not a joint one"),
    "two reductions": (lambda: fb.JointLoss(["mse", fb.MSE(reduction="sum")]), ConfigError,
                       "`losses` must all have the same reduction, got `mean` and `sum`"),
    "one weight": (lambda: fb.JointLoss(["mse", "mse"], [1.0]), ConfigError,
                   "`weights` must have a number for each of 2 losses, got `[1.0]`"),
    "weights a number": (lambda: fb.JointLoss(["mse", "mse"], 2.0), ConfigError,
                         "`weights` must have a number for each of 2 losses, got `2.0`"),
    "weight below 0": (lambda: fb.JointLoss(["mse", "mse"], [1.0, -1.0]), ConfigError,
                       "`weights[1]` must be at least 0, got `-1.0`"),
    "weight NaN": (lambda: fb.JointLoss(["mse", "mse"], [1.0, float("nan")]), ConfigError,
                   "`weights[1]` must be finite, got `nan`"),
    "weight a text": (lambda: fb.JointLoss(["mse", "mse"], [1.0, "1"]), ConfigTypeError,
                      "`weights[1]` must be a number, got `'1'`"),
    "weights zero": (lambda: fb.JointLoss(["mse", "mse"], [0.0, 0.0]), ConfigError,
                     "`weights` must have one above 0, got only zeros"),
    "softmax": (lambda: fb.Trainer(net(outputs=[fb.Softmax()(h), h]), ["cross_entropy", "mse"]), ConfigError,
                "`loss` cross_entropy takes scores and does the softmax itself, got a network that ends in Softmax\n"
                "hint: leave Softmax out"),
    "outputs that do not fit": (lambda: fb.Trainer(net(), ["mse", "gaussian_nll"]), ConfigError,
                                "`loss` gaussian_nll must have an even number of outputs, means and log variances,"
                                " got `1`"),
    "class weights": (lambda: net().evaluate((X, Z), (np.zeros(8, int), Y[1]),
                                             [fb.CrossEntropy(class_weights=[1, 2]), "mse"]), ConfigError,
                      "`losses[0]` must weight all rows alike with several outputs, got"
                      " `CrossEntropy(reduction='mean', label_smoothing=0.0, class_weights=((0, 1.0), (1, 2.0)),"
                      " ignore_index=None)`\nhint: give `sample_weight`"),
    "metrics": (lambda: fitted(metrics=["r2"], validation=((X, Z), Y)), ConfigError,
                "`metrics` must be empty for a network with several outputs"),
    "validation of one input": (lambda: fitted(validation=(X, Y)), ShapeError,
                                "validation: `X` must have shape `(rows, 7)`, got `(8, 4)`"),
    "weights of rows": (lambda: fitted(sample_weight=np.ones(7)), ShapeError,
                        "`sample_weight` must have shape `(8,)`, one number a row, got `(7,)`"),
    "frozen": (lambda: fb.Trainer(net(), ["mse", "mse"], frozen=["g"]), ConfigError,
               "`frozen` must name layers or parameters, `0.weight`, `0.bias`, `2.weight`, `2.bias`, `3.weight`,"
               " `3.bias`, got `g`"),
}  # fmt: skip
CASES = {**SIGNALS, **NETWORKS, **ROWS, **JOINT}


def test_no_case_hides_another():
    assert len(CASES) == len(SIGNALS) + len(NETWORKS) + len(ROWS) + len(JOINT)


@pytest.mark.parametrize("case", CASES)
def test_the_sentence(case):
    action, kind, sentence = CASES[case]
    with pytest.raises(FastbpError) as info:
        action()
    assert str(info.value) == sentence
    assert type(info.value) is kind


@pytest.mark.parametrize("setting", ["losses", "weights"])
def test_a_joint_loss_is_remade_from_its_settings(setting):
    loss = fb.JointLoss(["mse", fb.Huber(0.5)], [1.0, 2.0])
    assert setting in loss.settings()
    assert fb.JointLoss(**loss.settings()) == loss


# Files that describe no graph

DATA = to_data(net().graph)


def damaged(change):
    data = copy.deepcopy(DATA)
    change(data)
    return data


DAMAGES = {
    "itself": (lambda d: d["layers"][3]["of"].update(sources=[3]),
               "`layers[3].of.sources` must be layers before it, got `[3]`"),
    "later": (lambda d: d["layers"][2]["of"].update(sources=[5]),
              "`layers[2].of.sources` must be layers before it, got `[5]`"),
    "nothing": (lambda d: d["layers"][2]["of"].update(sources=[]),
                "`layers[2].of.sources` must be layers before it, got `[]`"),
    "before the inputs": (lambda d: d["layers"][2]["of"].update(sources=[-2]),
                          "`sources` must be at least -1, got `-2`"),
    "width": (lambda d: d["parts"][0].__setitem__(1, 0), "`parts` must be at least 1, got `0`"),
    "unknown layer": (lambda d: d["layers"][2].update(kind="conv"),
                      "`layers[2].kind` must be a layer of this version, got `conv`"),
    "name twice": (lambda d: d["layers"][3]["of"].update(name="inputs[0]"),
                   "`name` must be unique, got `inputs[0]` for two layers"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_description_is_refused(what):
    change, sentence = DAMAGES[what]
    data = damaged(change)
    with pytest.raises(FastbpError) as info:
        from_data(data)
    assert str(info.value) == sentence


def test_an_undamaged_description_is_the_graph():
    assert from_data(damaged(lambda data: None)) == net().graph


@pytest.mark.parametrize("heads", [[5], [], [-1], ["a"], [1.5]])
def test_heads_that_are_no_layers_are_refused(heads):
    data = to_data(fb.Network(inputs=x, outputs=[fb.Linear(2)(x), fb.Linear(3)(x)]).graph)
    assert from_data(data).heads
    with pytest.raises(fb.ConfigError):
        from_data({**data, "heads": heads})
