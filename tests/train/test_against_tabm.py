"""TabM and TabM-mini against the package tabm: the same parameters, the same batches, the same losses for 100 steps."""

import numpy as np
import pytest

import fastbp as fb

torch = pytest.importorskip("torch")
tabm = pytest.importorskip("tabm")

K, BLOCKS, WIDTH, INPUTS = 8, 3, 64, 11
STEPS, BATCH, ROWS = 100, 64, 64 * 20
# Of a loss, relative. In float32 where one unit of a relu is rounded to the other side Adam makes 6e-4 of it, here with
# mini and classes, whose losses theirs in float64 are 2e-5 from; else it is 8e-5 at most.
TOLERANCE = {"float32": 1e-3, "float64": 1e-9}
TASKS = {"numbers": ("mse", "values", 1), "classes": ("cross_entropy", "softmax", 4)}


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks are slow on many."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(kind, average, outputs, dtype):
    if kind == "tabm-mini":
        layers = [fb.MemberScale(), *[layer for _ in range(BLOCKS) for layer in (fb.Linear(WIDTH), fb.ReLU())]]
    else:
        first = ("signs", *["ones"] * (BLOCKS - 1))
        layers = [layer for init in first for layer in (fb.AdaptedLinear(WIDTH, adapter=init), fb.ReLU())]
    return fb.Network([fb.Members(K, average), *layers, fb.MemberLinear(outputs)], inputs=INPUTS, seed=5, dtype=dtype)


def theirs(kind, outputs, dtype):
    model = tabm.TabM.make(
        n_num_features=INPUTS, d_out=outputs, arch_type=kind, k=K, n_blocks=BLOCKS, d_block=WIDTH, dropout=0.0
    )
    return model.to(getattr(torch, dtype)).train()


def pairs_of(net, model):
    """Our parameters by name, each with theirs and whether that is transposed."""
    body = model.backbone
    if hasattr(body, "affine"):
        yield "1.weight", body.affine.weight, False
    first = 2 if hasattr(body, "affine") else 1
    for i, block in enumerate(body.blocks):
        linear, at = block[0], first + 2 * i
        yield f"{at}.weight", linear.weight, True
        yield f"{at}.bias", linear.bias, False
        if hasattr(linear, "r"):
            yield f"{at}.r", linear.r, False
            yield f"{at}.s", linear.s, False
    last = first + 2 * BLOCKS
    yield f"{last}.weight", model.output.weight, False
    yield f"{last}.bias", model.output.bias, False


def copied(net, model):
    names = []
    with torch.no_grad():
        for name, tensor, transposed in pairs_of(net, model):
            ours = torch.from_numpy(net.parameters[name].copy())
            tensor.copy_(ours.T if transposed else ours)
            names.append(name)
    assert set(names) == set(net.parameters)


def rows(task, outputs, dtype):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(ROWS, INPUTS)).astype(dtype)
    target = np.tanh(X @ rng.normal(size=(INPUTS, outputs))) + 0.1 * rng.normal(size=(ROWS, outputs))
    return X, target.argmax(1) if task == "classes" else target.astype(dtype)


def their_loss(task, z, y):
    """The mean of the members' losses: each member's outputs against the same targets."""
    count = z.shape[1]
    if task == "classes":
        return torch.nn.functional.cross_entropy(z.flatten(0, 1), torch.from_numpy(y).repeat_interleave(count))
    return torch.nn.functional.mse_loss(z.flatten(0, 1), torch.from_numpy(y).repeat_interleave(count, dim=0))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", ["tabm-mini", "tabm"])
def test_losses_of_a_hundred_steps_are_theirs(kind, task, dtype):
    loss, average, outputs = TASKS[task]
    net, model = network(kind, average, outputs, dtype), theirs(kind, outputs, dtype)
    copied(net, model)
    X, y = rows(task, outputs, dtype)
    decay = [tensor for name, tensor, _ in pairs_of(net, model) if not name.endswith("bias")]
    free = [tensor for name, tensor, _ in pairs_of(net, model) if name.endswith("bias")]
    groups = [{"params": decay}, {"params": free, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=2e-3, weight_decay=3e-4)
    trainer = fb.Trainer(net, loss=loss, optimizer=fb.AdamW(lr=2e-3, weight_decay=3e-4), batch_size=BATCH)
    worst = 0.0
    for step in range(STEPS):
        part = slice(step * BATCH % ROWS, step * BATCH % ROWS + BATCH)
        optimizer.zero_grad()
        found = their_loss(task, model(torch.from_numpy(X[part])), y[part])
        found.backward()
        optimizer.step()
        ours, other = trainer.step(X[part], y[part]), float(found.detach())
        worst = max(worst, abs(ours - other) / other)
    print(f"{kind}, {task}, {dtype}: the losses differ by {worst:.2g} at most")
    assert worst < TOLERANCE[dtype]
    if dtype == "float32":
        return
    model.eval()
    with torch.no_grad():
        z = model(torch.from_numpy(X[:100])).swapaxes(0, 1)
    np.testing.assert_allclose(net.members(X[:100]), z.numpy(), atol=1e-9)
    if task == "classes":
        p = torch.softmax(z, -1).mean(0).numpy()
        np.testing.assert_allclose(net.probabilities(X[:100]), p, atol=1e-9)
