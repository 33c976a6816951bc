"""What a parametric activation takes for its activation, and what it keeps of it."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.errors import ConfigError

NAMES = (
    "must be one of `identity`, `relu`, `leaky_relu`, `elu`, `selu`, `gelu`, `gelu_tanh`, `silu`, `mish`, `softplus`,"
    " `softsign`, `sigmoid`, `hard_sigmoid`, `tanh`, `hardtanh`, got"
)
BAD = {
    "a row's": ("softmax", "`Parametric.activation` must be one of", "got `softmax`"),
    "another learned one": (fb.PReLU(), "`Parametric.activation` must be one of", "got `PReLU(per_feature=False"),
    "itself": ("parametric", f"`Parametric.activation` {NAMES} `parametric`", ""),
    "no name": (3, "`Parametric.activation` must be one of", "got `3`"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_activation_is_refused(case):
    given, begin, end = BAD[case]
    with pytest.raises(ConfigError) as error:
        fb.Parametric(given)
    said = str(error.value).split("\n")[0]
    assert said.startswith(begin)
    assert end in said


@pytest.mark.parametrize("given", ["mish", fb.Mish(), {"name": "mish"}])
def test_a_name_stands_for_the_activation(given):
    assert fb.Parametric(given) == fb.Parametric(fb.Mish())
    assert fb.Parametric(given).settings() == {"activation": "mish", "init": 1.0}


def test_a_file_keeps_the_settings_of_its_activation(tmp_path):
    net = fb.Network([fb.Parametric(fb.ELU(0.5), init=0.25), fb.Parametric("x * sigmoid(x)")], inputs=3)
    net.save(tmp_path / "net")
    again = fb.load(tmp_path / "net")
    assert again.layers == net.layers
    X = np.linspace(-2, 2, 9).reshape(3, 3)
    assert again.predict(X).tobytes() == net.predict(X).tobytes()


@pytest.mark.parametrize("activation", ["selu", "tanh", "relu"])
def test_it_is_its_activation_at_first_and_nothing_with_0(activation):
    X = np.linspace(-2, 2, 12).reshape(4, 3).astype(np.float32)
    alone = fb.Network([getattr(fb, {"selu": "SELU", "tanh": "Tanh", "relu": "ReLU"}[activation])()], inputs=3)
    np.testing.assert_allclose(
        fb.Network([fb.Parametric(activation)], inputs=3).predict(X), alone.predict(X), rtol=1e-6
    )
    assert fb.Network([fb.Parametric(activation, init=0.0)], inputs=3).predict(X).tobytes() == X.tobytes()
