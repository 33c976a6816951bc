"""Curves of a run as SVG."""

from itertools import pairwise

import pytest

from fastbp.pictures.curves import BOTTOM, GAP, HEIGHT, LETTERS, Beside, curves, panels_of
from fastbp.pictures.page import apart
from fastbp.pictures.scale import Scale, ticks, whole_ticks
from tests.pictures.svg import inside, lines_of, place_of, styled, texts


def rows(losses, val=None, **metrics):
    out = []
    for i, loss in enumerate(losses):
        row = {"epoch": i, "loss": loss, **({} if val is None else {"val_loss": val[i]})}
        out.append({**row, **{name: values[i] for name, values in metrics.items()}, "lr": 0.1})
    return out


RUN = rows([4.0, 2.0, 1.0, 0.5], [3.0, 2.5, 1.5, 2.0], val_accuracy=[0.2, 0.4, 0.8, 0.6], val_rmse=[9.0, 7.0, 5.0, 6.0])
BESIDE = Beside(3, {"loss": 3.5, "accuracy": 0.25, "rmse": 8.0}, {"loss": 1.0, "accuracy": 0.9, "rmse": 4.0})


def test_losses_metrics_between_0_and_1_and_each_other_metric_have_panels():
    assert panels_of(RUN) == [["loss", "val_loss"], ["val_accuracy"], ["val_rmse"]]
    more = rows([1.0], val_r2=[-0.5], val_f1=[0.5], val_accuracy=[1.0])
    assert panels_of(more) == [["loss"], ["val_f1", "val_accuracy"], ["val_r2"]]


def test_epochs_are_counted_from_1_and_axes_have_names():
    svg = curves(RUN, BESIDE)
    said = [text for _, _, text, _ in texts(svg)]
    long = curves(rows([1.0], **{"val_" + "long" * 20: [0.5]}))
    assert max(len(t) for x, _, t, _ in texts(long) if x >= 600) == LETTERS
    for title in ("Loss", "Accuracy", "RMSE"):
        assert title in said
    assert said.count("epoch") == 3
    assert "0" not in said
    under = HEIGHT - BOTTOM + 18
    epochs = [x for x, y, _, _ in texts(svg) if y == under]
    assert [t for _, y, t, _ in texts(svg) if y == under] == ["1", "2", "3", "4"]
    (line,) = lines_of(svg, "s0")[:1]
    assert [x for x, _ in line] == epochs


def test_the_best_epoch_is_marked_where_it_is():
    svg = curves(RUN, BESIDE)
    assert [text for _, _, text, _ in texts(svg)].count("best epoch 3") == 3
    (line,) = lines_of(svg, "s0")[:1]
    assert place_of(svg, "best epoch 3")[0] == line[2][0]
    assert "best epoch" not in curves(RUN)


def test_losses_over_more_than_a_decade_are_on_a_logarithmic_scale():
    wide = rows([10.0, 1.0, 0.1])
    (line,) = lines_of(curves(wide), "s0")
    assert line[1][1] == pytest.approx((line[0][1] + line[2][1]) / 2, abs=0.11)
    assert "loss, logarithmic" in [t for _, _, t, _ in texts(curves(wide))]
    (line,) = lines_of(curves(rows([10.0, 5.5, 1.0])), "s0")
    assert line[1][1] == pytest.approx((line[0][1] + line[2][1]) / 2, abs=0.11)
    assert "loss" in [t for _, _, t, _ in texts(curves(rows([10.0, 0.1, 0.0])))]  # nothing is logarithmic at 0
    assert "metric, logarithmic" not in curves(rows([1.0, 1.0], val_rmse=[100.0, 1.0]))


def test_the_baseline_is_a_labelled_line_or_an_arrow_to_where_it_is():
    svg = curves(RUN, BESIDE)
    _, y = place_of(svg, "baseline 3.5")
    (line,) = lines_of(svg, "s0")[:1]
    assert line[0][1] < y - 4 < line[1][1]  # between 4 and 2
    far = [t for _, _, t, _ in texts(curves(rows([1.0, 0.9]), Beside(1, {"loss": 500.0})))]
    assert "baseline 500 ↑" in far
    far = [t for _, _, t, _ in texts(curves(rows([1.0, 1.0], val_accuracy=[0.95, 0.97]), Beside(1, {"accuracy": 0.1})))]
    assert "baseline 0.1 ↓" in far
    both = curves(rows([1.0, 1.0], val_a=[0.1, 0.9], val_b=[0.2, 0.8]), Beside(1, {"a": 0.5, "b": 0.6}))
    assert {"a baseline 0.5", "b baseline 0.6"} <= {t for _, _, t, _ in texts(both)}


def test_metrics_of_the_training_rows_are_marked_at_the_best_epoch():
    svg = curves(RUN, BESIDE)
    said = [t for _, _, t, _ in texts(svg)]
    assert "◇ training rows 0.9" in said
    assert "◇ training rows 4" in said
    assert "◇ training rows 1" not in said  # the curve of the loss is that of the training rows


def test_labels_stand_in_the_order_of_the_lines_ends_and_apart():
    many = rows([1.0, 1.0], **{f"val_{c}": [0.5, 0.5 + i / 1000] for i, c in enumerate("abcdef")})
    labels = [(y, text) for x, y, text, kind in texts(curves(many)) if text.startswith("val_")]
    assert [text[4] for _, text in sorted(labels)] == list("fedcba")
    places = sorted(y for y, _ in labels)
    assert min(b - a for a, b in pairwise(places)) >= GAP - 0.11


@pytest.mark.parametrize("low", [0.0, 50.0])
def test_apart_keeps_the_order_and_the_room(low):
    wanted = [10.0, 10.0, 11.0, 90.0, 200.0]
    found = apart(wanted, 15.0, low, 100.0)
    assert all(low <= y <= 100.0 for y in found) or low == 50.0
    assert found == sorted(found)
    assert min(b - a for a, b in pairwise(found)) >= 15.0 - 1e-9
    assert apart([10.0, 40.0], 15.0, 0.0, 100.0) == [10.0, 40.0]
    assert apart([10.0, 12.0, 60.0], 15.0, 0.0, 100.0) == [10.0, 25.0, 60.0]
    assert apart([-5.0, 2.0], 15.0, 0.0, 100.0) == [0.0, 15.0]
    assert apart([95.0, 99.0], 15.0, 0.0, 100.0) == [85.0, 100.0]


def test_numbers_that_are_not_there_interrupt_a_curve():
    svg = curves(rows([1.0, 2.0, None, 3.0, 4.0, float("nan"), 5.0]))
    assert [len(line) for line in lines_of(svg, "s0")] == [2, 2]
    assert svg.count("<circle") == 1


@pytest.mark.parametrize(
    "run",
    [[], rows([1.0]), rows([0.0, 0.0]), rows([None]), rows([1e300, -1e300]), rows([1e-320, 1e300]), RUN,
     rows([1.0] * 300, val_balanced_accuracy=[0.123456789] * 300, **{"val_<&\x1b": [0.5] * 300})],
    ids=["none", "one", "zeros", "null", "wide", "wider", "run", "long"],
)  # fmt: skip
def test_every_picture_is_whole_on_its_page_and_has_colours_in_light_and_dark(run):
    svg = curves(run, BESIDE)
    assert inside(svg)
    assert styled(svg)
    assert f'height="{HEIGHT * len(panels_of(run))}"' in svg


@pytest.mark.parametrize(("last", "expected"), [
    (1, [1]), (2, [1, 2]), (7, [1, 2, 3, 4, 5, 6, 7]), (40, [1, 5, 10, 15, 20, 25, 30, 35, 40]),
    (55, [1, 10, 20, 30, 40, 50, 55]), (52, [1, 10, 20, 30, 40, 52]), (1000, [1, 200, 400, 600, 800, 1000]),
])  # fmt: skip
def test_ticks_of_epochs(last, expected):
    assert whole_ticks(last) == expected


def test_ticks_and_scales():
    assert ticks(0.0, 1.0) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(-3.0, 12.0) == [0.0, 5.0, 10.0]
    assert Scale(0.01, 1.0, log=True).ticks() == pytest.approx([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
    assert Scale(0.01, 1.0, log=True).at(0.1) == pytest.approx(0.5)
    assert Scale.of([1.0, 2.0], also=3.0) == Scale(1.0, 3.0)
    assert Scale.of([1.0, 2.0], also=3.1) == Scale(1.0, 2.0)
    assert Scale.of([0.1, 2.0], True, also=-1.0) == Scale(0.1, 2.0, True)
    assert Scale.of([2.0, 2.0]) == Scale(1.0, 3.0)
