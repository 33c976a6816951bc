"""What ranks do in tests, as a program: mpiexec -n 4 python rank_programs.py NAME ARGUMENTS; only the first prints."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import signal
import sys
import threading
import weakref
from typing import Any

import numpy as np
from mpi4py import MPI

import fastbp as fb
from fastbp.engine.memory import view
from fastbp.train.ranks import Ranks, ranks_of

COMM = MPI.COMM_WORLD
RANK, COUNT = COMM.Get_rank(), COMM.Get_size()


def tell(**found: Any) -> None:
    """Print what was found, as JSON, on the first rank."""
    if RANK == 0:
        print(json.dumps(found), flush=True)


def in_pairs(parts: list[Any]) -> Any:
    """The sum of a binary tree, written on its own."""
    half = len(parts) // 2
    return parts[0] if not half else in_pairs(parts[:half]) + in_pairs(parts[half:])


def partials(size: int, kind: str) -> list[Any]:
    """What each rank has, of magnitudes whose sum depends on its order."""
    rng = np.random.default_rng(size)
    return [(rng.normal(size=size) * 10.0 ** rng.integers(-6, 6, size)).astype(kind) for _ in range(COUNT)]


def sums() -> None:
    """Sums of all sizes, by both ways and their halves, are those of the tree on every rank."""
    ranks, wrong, rooms = ranks_of(COMM), [], 0
    for kind in ("float32", "float64"):
        for size in (0, 1, 3, 16, 17, 1000, 32_768, 32_769, 100_003):
            every = partials(size, kind)
            must, own = in_pairs(every), every[RANK].copy()
            ranks.add(own)
            if own.tobytes() != must.tobytes():
                wrong.append(["add", kind, size])
            own, cuts = every[RANK].copy(), ranks.cuts(size)
            ranks.scatter_add(own, cuts)
            mine = slice(cuts[RANK], cuts[RANK + 1])
            others = np.ones(size, bool)
            others[mine] = False
            if own[mine].tobytes() != must[mine].tobytes() or (own != every[RANK])[others].any():
                wrong.append(["scatter_add", kind, size])
            ranks.gather(own, cuts)
            if own.tobytes() != must.tobytes():
                wrong.append(["gather", kind, size])
            for turn in range(2):  # a room is used again and again
                address = ranks.room(own.nbytes, ranks)
                if address:
                    beside = view(address, (size,), kind)
                    beside[:] = every[RANK]
                    ranks.add(beside)
                    rooms += 1
                    if beside.tobytes() != must.tobytes():
                        wrong.append(["beside", kind, size, turn])
    table = np.full((30, 40), float(RANK + 1))
    ranks.add(table)
    if (table != COUNT * (COUNT + 1) / 2).any():
        wrong.append(["of two dimensions"])
    bits = np.array([RANK, -RANK, 2**62 - RANK], np.int64)
    ranks.largest(bits)
    if bits.tolist() != [COUNT - 1, 0, 2**62]:
        wrong.append(["largest"])
    every_rank = COMM.allgather(wrong)
    tell(wrong=[found for found in every_rank if found], same=ranks_of(COMM) is ranks, count=ranks.count, rooms=rooms)


def rooms() -> None:
    """Trainers of other and other sizes, of which one is kept by one rank for a while."""
    gc.disable()
    ranks, sizes, plans, kept = ranks_of(COMM), [], [], []
    X, y = rows()
    for width in (160, 192, 224, 256, 288, 320):
        made = fb.Trainer(fb.mlp([12, width, 256, 4], seed=0), batch_size=50, shards=2, comm=COMM)
        made.run(X, y, steps=1)
        sizes.append(len(ranks._rooms.by_address))
        plans.append(weakref.ref(made._batch_plan))
        if width == 224 and RANK:
            kept.append(made)
        if width == 288:
            kept.clear()
        alone = fb.Trainer(fb.mlp([12, width, 256, 4], seed=0), batch_size=50, shards=2)
        alone.run(X, y, steps=1)
        same = made.net.flat.tobytes() == alone.net.flat.tobytes()
        del made
    left = sum(plan() is not None for plan in plans)
    tell(plans=COMM.allgather(left), sizes=COMM.allgather(sizes), same=same)


def texts() -> None:
    """Texts of the first rank, and numbers that are agreed on."""
    ranks = Ranks(COMM)
    found = [ranks.told("déjà vu" if RANK == 0 else None), ranks.told(""), ranks.first(lambda: f"of {RANK}")]
    found += [ranks.agree(RANK, 5 - RANK), ranks.steps(10 + RANK)]
    tell(found=COMM.allgather(found))


def rows(count: int = 400) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    return rng.normal(size=(count, 12)).astype(np.float32), rng.integers(0, 4, count)


def network() -> Any:
    layers = [fb.Linear(24), fb.BatchNorm(), fb.ReLU(), fb.Dropout(0.2), fb.Linear(4)]
    return fb.Network(layers, inputs=12, seed=5)


def trainer(comm: Any = COMM, **words: Any) -> Any:
    return fb.Trainer(network(), batch_size=50, **{"shards": 8, "comm": comm, **words})


def digest(found: Any) -> str:
    net, data = found.net, hashlib.sha256()
    for part in (net.flat, net.states.flat(), found.evaluated.flat):
        data.update(part.tobytes())
    return data.hexdigest()


def fits(case: str = "") -> None:
    """A fit, another with rows of another number, single steps and a run, as one process does them."""
    words: Any = {
        "adam": {"optimizer": fb.Adam(lr=1e-2), "clip_norm": 0.5},
        "lion": {"optimizer": fb.Lion(lr=1e-3), "ema": 0.9, "accumulate": 2},
    }[case]

    def trained(comm: Any) -> Any:
        X, y = rows()
        held_out = *rows(1700), np.linspace(0.0, 2.0, 1700)  # four blocks of an evaluation
        found = trainer(comm, **words)
        history = found.fit(X, y, epochs=3, validation=held_out, metrics=["accuracy"])
        found.fit(X[:333], y[:333], epochs=1)
        losses = [found.step(X[i : i + 9], y[i : i + 9]) for i in range(5)]
        found.run(X, y, steps=7)
        return digest(found), history.loss, history.val_loss, history["val_accuracy"], losses

    together = COMM.allgather(trained(COMM))
    tell(same=all(found == together[0] for found in together), alone=together[0] == trained(None))


def settings() -> None:
    """What ranks may not have otherwise, by its name: the same message on all."""
    found: dict[str, Any] = {}

    def refused(name: str, work: Any) -> None:
        try:
            work()
            found[name] = ["nothing"]
        except fb.FastbpError as error:
            found[name] = sorted(set(COMM.allgather(str(error))))

    own = RANK == COUNT - 1
    X, y = rows()
    refused("lr", lambda: trainer(optimizer=fb.Adam(lr=2e-3 if own else 1e-3)))
    refused("seed", lambda: trainer(seed=int(own)))
    refused("penalty", lambda: trainer(penalty="1e-3 * abs(w)" if own else "1e-4 * abs(w)"))
    same: Any = trainer(penalty=lambda w: 1e-4 * abs(w), threads=1 + own)
    same.run(X, y, steps=1)
    net = network()
    net.flat = net.flat + np.float32(own)
    refused("parameters", lambda: fb.Trainer(net, shards=8, comm=COMM))
    refused("rows", lambda: trainer().fit(X[: 400 - own], y[: 400 - own]))
    refused("other rows", lambda: trainer().run(np.roll(X, RANK, axis=0), y, steps=1))
    refused("targets", lambda: trainer().run(X, np.roll(y, RANK), steps=1))
    refused("weights", lambda: trainer().run(X, y, 1, sample_weight=np.full(len(X), 1.0 + own)))
    part = slice(60 * RANK, 60 * RANK + 60 + own)  # of its own, as where ranks average gradients
    refused("steps", lambda: trainer().run(X, y, steps=5 + own))
    refused("epochs", lambda: trainer().fit(X, y, epochs=1 + own))
    refused("validation", lambda: trainer().fit(X, y, validation=(X, y) if own else None))
    refused("metrics", lambda: trainer().fit(X, y, validation=(X, y), metrics=["accuracy"] if own else []))
    assigned = trainer()
    assigned.optimizer = fb.Adam(lr=2e-3 if own else 1e-3)
    refused("assigned", lambda: assigned.run(X, y, steps=1))
    refused("batch", lambda: trainer().step(X[part], y[part]))
    refused("batch targets", lambda: trainer().step(X[:9], y[9 * own : 9 + 9 * own]))
    changed = trainer()
    changed.net.parameters["0.weight"] = changed.net.parameters["0.weight"] + np.float32(own)
    refused("changed", lambda: changed.fit(X, y))
    refused("shards", lambda: trainer(shards=COUNT // 2))
    refused("comm", lambda: trainer(comm=3))
    some = COMM.Split(RANK // 3, RANK)
    try:
        Ranks(some)
    except fb.ConfigError as error:
        found["three"] = str(error)
    tell(**found)


def writes(folder: str) -> None:
    """The first rank alone writes what callbacks write, and shows what there is to see."""
    X, y = rows()
    hooks = [fb.CSVLogger(f"{folder}/log.csv"), fb.ModelCheckpoint(f"{folder}/net-{{epoch}}.safetensors")]
    trainer().fit(X, y, epochs=3, callbacks=hooks, verbose=True)
    one = trainer()
    one.threads = 1
    one.threads = None
    tell(threads=COMM.allgather(one.threads), of=[ranks_of(COMM).threads] * COUNT)


def stops() -> None:
    """A callback that ends the fit on one rank ends it on all."""
    X, y = rows()

    def stop(trainer: Any, history: Any) -> None:
        if RANK == 1 and len(history.loss) == 3:
            history.stopped = "its time is up"

    history = trainer().fit(X, y, epochs=10, callbacks=[stop])
    tell(found=COMM.allgather([len(history.loss), history.stopped]))


def interrupted() -> None:
    """Ctrl-C on one rank ends the fit on all at the same step, from which it goes on to the same bits."""
    X, y = rows()
    found = trainer()
    found.run(X, y, steps=1)  # whatever the first one waits for
    if RANK == 1:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    handler = signal.getsignal(signal.SIGINT)
    try:
        found.run(X, y, steps=10**9)
        how = "it ended"
    except KeyboardInterrupt:
        how = "interrupted"
    steps = found.steps_done
    found.run(X, y, steps=5)
    alone = trainer(None)
    for count in (1, steps - 1, 5):
        alone.run(X, y, steps=count)
    every = COMM.allgather((how, steps > 0, steps, digest(found)))
    left = signal.getsignal(signal.SIGINT) is handler
    tell(how=every[0][:2], same=len(set(every)) == 1, alone=digest(alone) == every[0][3], handler=left)


class Struck(fb.Trainer):
    """Ctrl-C comes in the middle of a step, on one rank."""

    def _step(self, *arguments: Any) -> float:
        if RANK == 1 and self.steps_done == 7:
            signal.raise_signal(signal.SIGINT)
        return super()._step(*arguments)


def struck() -> None:
    """Ctrl-C in a step of a loop on one rank is raised behind it on all."""
    X, y = rows()
    found = Struck(network(), batch_size=50, shards=8, comm=COMM)
    how = "it ended"
    try:
        for _ in range(20):
            found.step(X[:50], y[:50])
    except KeyboardInterrupt:
        how = "interrupted"
    tell(found=COMM.allgather([how, found.steps_done]))


def far_off() -> None:
    """A validation loss that is not finite, by the rows of some ranks."""
    X, y = rows()

    def trained(comm: Any) -> str:
        found = fb.Trainer(fb.mlp([12, 4]), loss="mse", batch_size=50, shards=8, comm=comm)
        far, numbers = np.zeros((1700, 12), np.float32), np.zeros((1700, 4), np.float32)
        far[900:] = 3e38
        history = found.fit(X, np.eye(4, dtype=np.float32)[y], epochs=2, validation=(far, numbers))
        return repr(history.val_loss)

    together = COMM.allgather(trained(COMM))
    tell(same=len(set(together)) == 1, alone=together[0] == trained(None), loss=together[0])


def all_fail() -> None:
    """An error of all is raised by all."""
    X, y = rows()
    X[7, 3] = np.nan
    try:
        trainer().fit(X, y)
        why = "nothing"
    except fb.DataError as error:
        why = str(error)
    tell(found=COMM.allgather(why))


def one_fails() -> None:
    """An error of one rank ends all."""
    X, y = rows()

    def fail(trainer: Any, history: Any) -> None:
        if RANK == 2 and len(history.loss) == 2:
            raise MemoryError("no room")

    trainer().fit(X, y, epochs=10**6, callbacks=[fail])
    print("still there", flush=True)


# What is trained for the table of digests.
CASES: dict[str, Any] = {
    "adam": lambda: ([fb.Linear(48), fb.ReLU(), fb.Linear(32), fb.SiLU(), fb.Linear(4)], {}),
    "lion": lambda: ([fb.Linear(48), fb.ReLU(), fb.Linear(4)], {"optimizer": fb.Lion(lr=1e-3, weight_decay=0.1)}),
    "clipping": lambda: ([fb.Linear(48), fb.Tanh(), fb.Linear(4)], {"clip_norm": 0.1, "accumulate": 2}),
    "batch norm": lambda: ([fb.Linear(48), fb.BatchNorm(), fb.ReLU(), fb.Linear(4)], {}),
    "dropout": lambda: ([fb.Linear(48), fb.ReLU(), fb.Dropout(0.3), fb.Linear(4)], {}),
    "ema": lambda: ([fb.Linear(48), fb.ReLU(), fb.Linear(4)], {"ema": 0.99, "schedule": "cosine"}),
}


def table(threads: str, how: str = "together") -> None:
    """The digests of all cases behind 300 steps, which are the same for any ranks and threads."""
    X, y = rows(1000)
    found = {}
    for name, case in CASES.items():
        layers, words = case()
        net = fb.Network(layers, inputs=12, seed=1)
        comm = COMM if how == "together" else None
        one = fb.Trainer(net, batch_size=96, shards=8, threads=int(threads), comm=comm, **words)
        one.run(X, y, steps=300)
        found[name] = digest(one)
    every = COMM.allgather(found)
    tell(found=found, same=all(one == found for one in every))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
