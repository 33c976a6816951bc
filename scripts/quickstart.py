"""Train a 64-128-64-10 network on handwritten digits and report its accuracy on digits it has not seen."""

import time

import fastbp as fb


def main() -> None:
    train, validation, test = (fb.data.digits(split) for split in ("train", "validation", "test"))
    print(f"digits: {len(train[1])} to train, {len(validation[1])} to validate, {len(test[1])} to test")

    net = fb.mlp([64, 128, 64, 10], activation="relu", dropout=0.1, seed=0)
    trainer = fb.Trainer(net, loss="cross_entropy", optimizer=fb.Adam(lr=1e-3), batch_size=32)

    start = time.perf_counter()
    history = trainer.fit(*train, epochs=60, validation=validation, callbacks=[fb.EarlyStopping(patience=10)])
    seconds = time.perf_counter() - start

    epochs = len(history.loss)
    best = min(range(epochs), key=lambda epoch: history.val_loss[epoch])
    print("epoch  training loss  validation loss")
    for epoch in sorted({*range(0, epochs, 10), best, epochs - 1}):
        mark = "  best" if epoch == best else ""
        print(f"{epoch + 1:5d}  {history.loss[epoch]:13.4f}  {history.val_loss[epoch]:15.4f}{mark}")
    ending = "stopped early" if epochs < 60 else "ran every epoch"
    print(f"{ending} after {epochs} epochs, {seconds:.2f} s")

    X, y = test
    correct = int((net.predict(X).argmax(axis=1) == y).sum())
    print(f"test accuracy {correct / len(y):.1%} ({correct} of {len(y)})")


if __name__ == "__main__":
    main()
