"""The mathematics of fastbp in plain NumPy: oracle of the tests, honest baseline of the benches.

Rows are examples. Letters: B batch rows, I inputs, O outputs, N features, K classes. The cotangent of
`x` (how the loss moves with it) is `dx`, its tangent `tx`, so a vjp takes `dy` to `dx` and a jvp takes
`tx` to `ty`; they are adjoint: <dy, ty> = <dx, tx>.

    random           Philox, initial parameters, the order of an epoch, dropout's masks
    layers           linear, scale, PReLU, embedding, piecewise linear, dropout: what has weights, bins or a mask
    embeddings       columns of numbers as waves
    gates            sums, products and quotients of signals, columns joined and cut, rows summed
    members          layers of which each member of a network has its own numbers, and the mean of members
    norms            layer, RMS and batch normalisation
    activations      y = φ(x) element by element, softmax, and the table ACTIVATIONS
    reduction        how the losses of rows become one number
    classification   losses against labels, probabilities and bits
    regression       losses against numbers
    optimizers       one function a rule, from (θ, g, state) to (θ, state); clipping
    mlp              a network of these, trained by the recurrence below; the table LOSSES

**The recurrence.** With u_L = dz of the last product, each layer below receives
    δ_l = (δ_{l+1} W_{l+1}ᵀ) ∘ φ'(y_l)   and its weights receive   dW_l = x_lᵀ δ_l.
One walk back over the layers therefore gives every gradient for about twice the price of the forward pass.

Examples
--------
>>> import numpy as np
>>> from fastbp import reference
>>> x, dy, tx = np.array([0.3, -1.2]), np.array([1.0, 2.0]), np.array([0.5, -0.7])
>>> y = reference.tanh_forward(x)
>>> bool(np.isclose(dy @ reference.tanh_jvp(tx, y), reference.tanh_vjp(dy, y) @ tx))
True
"""

# Every public name of every file, so that a twin is written in one place.
from fastbp.reference.activations import *  # noqa: F403
from fastbp.reference.classification import *  # noqa: F403
from fastbp.reference.embeddings import *  # noqa: F403
from fastbp.reference.gates import *  # noqa: F403
from fastbp.reference.layers import *  # noqa: F403
from fastbp.reference.members import *  # noqa: F403
from fastbp.reference.mlp import *  # noqa: F403
from fastbp.reference.norms import *  # noqa: F403
from fastbp.reference.optimizers import *  # noqa: F403
from fastbp.reference.random import *  # noqa: F403
from fastbp.reference.reduction import *  # noqa: F403
from fastbp.reference.regression import *  # noqa: F403
