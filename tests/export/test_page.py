"""Pages, opened by a browser: what they say is what Python says, whatever columns and classes are called."""

import re

import numpy as np
import pytest

import fastbp as fb
from fastbp.cli.main import main
from fastbp.errors import ConfigError, ConfigTypeError
from tests.export.browser import needs_browser, opened

EVIL = '</script x><img src=x onerror=alert(1)>"`${1}\\ \u2028 <!--'


def number_of(text):
    return float(text.replace("−", "-").replace(",", ""))


def said(page):
    """What the page shows as its prediction, by name."""
    return {row.all("span")[0].text: row.all("span")[-1].text for row in page.one("said").all("button")}


def moved(field, value):
    """A script that types a number into a field."""
    return f"""
      document.getElementById("{field}").value = "{value}";
      document.getElementById("{field}").dispatchEvent(new Event("input"));"""


def estimator(kind, columns, y, **settings):
    from fastbp import sklearn

    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(columns)
    return getattr(sklearn, kind)(hidden=(8,), epochs=5, random_state=0, **settings).fit(frame, y), frame


def table(names=("size", "city", "floor")):
    rng = np.random.default_rng(0)
    numbers, texts, floor = rng.normal(50.0, 10.0, 200), rng.choice(["Rome", "Ulm"], 200), rng.integers(0, 2, 200)
    return dict(zip(names, (numbers, texts.astype(object), floor.astype(float)), strict=True))


@needs_browser
def test_a_page_of_numbers_says_what_python_says(tmp_path):
    columns = table()
    model, frame = estimator("MLPRegressor", columns, columns["size"] * 3.0 + columns["floor"])
    fb.export.html(model, tmp_path / "page.html", title="Homes")
    row = frame.iloc[:1].assign(size=44.25, city="Rome", floor=1.0)
    page = opened(tmp_path / "page.html", moved("field0", 44.25) + moved("field2", 1))
    found = number_of(page.one("said").all("strong")[0].text)
    np.testing.assert_allclose(found, model.predict(row)[0], rtol=5e-4)
    assert page.all("h1")[0].text == "Homes"
    slopes = {r.all("span")[0].text: number_of(r.all("span")[-1].text) for r in page.one("slopes").all("div")[1:]}
    for name in ("size", "floor"):
        up, down = (model.predict(row.assign(**{name: row[name] + step}))[0] for step in (1e-2, -1e-2))
        np.testing.assert_allclose(slopes[name], (float(up) - float(down)) / 2e-2, rtol=0.02)
    (line,) = page.one("curve").all("polyline")
    (tangent,) = (one for one in page.one("curve").all("line") if one.attributes["class"] == "tangent")
    x1, y1, x2, y2 = (float(tangent.attributes[name]) for name in ("x1", "y1", "x2", "y2"))
    points = np.array([pair.split(",") for pair in line.attributes["points"].split()], float)
    near = np.argsort(np.abs(points[:, 0] - (x1 + x2) / 2))[:3]
    np.testing.assert_allclose((y2 - y1) / (x2 - x1), np.polyfit(*points[near].T, 1)[0], rtol=0.05, atol=0.01)


@needs_browser
def test_a_page_of_classes_has_a_bar_for_each(tmp_path):
    columns = table()
    y = np.where(columns["size"] > 50.0, "large", "small")
    model, frame = estimator("MLPClassifier", columns, y)
    fb.export.html(model, tmp_path / "page.html")
    choose = """
      const city = document.getElementById("field1");
      city.selectedIndex = 1;
      city.dispatchEvent(new Event("change"));"""
    page = opened(tmp_path / "page.html", moved("field0", 51) + moved("field2", 0) + choose)
    (p,) = model.predict_proba(frame.iloc[:1].assign(size=51.0, city="Ulm", floor=0.0))
    assert said(page) == {name: f"{100 * one:.1f} %" for name, one in zip(model.classes_, p, strict=True)}
    (best,) = (one.text for one in page.one("said").all("p"))
    assert best == model.classes_[p.argmax()]
    curve = page.one("curve")  # by the city, which was chosen last
    assert [one.all("span")[0].text for one in curve.all("button")] == ["Rome", "Ulm", "(missing)"]


@needs_browser
def test_names_are_texts_wherever_they_stand(tmp_path):
    columns = table((EVIL, f"{EVIL} city", "__proto__"))
    columns[f"{EVIL} city"] = np.where(columns[f"{EVIL} city"] == "Rome", EVIL, "*/ alert(2) /*").astype(object)
    y = np.where(columns[EVIL] > 50.0, EVIL, "<b>small</b>")
    model, _ = estimator("MLPClassifier", columns, y)
    fb.export.html(model, tmp_path / "page.html", title=EVIL)
    page = opened(tmp_path / "page.html")
    assert not page.all("img") + page.all("b")
    assert len(page.all("script")) == 3  # the model, the page, and what watches for errors
    assert page.all("h1")[0].text == EVIL
    assert set(said(page)) == {EVIL, "<b>small</b>"}
    assert [one.text for one in page.one("fields").all("label")] == [EVIL, f"{EVIL} city", "__proto__"]


@needs_browser
def test_a_network_without_a_recipe_has_fields_for_its_inputs(tmp_path):
    net = fb.Network([fb.Embedding({1: (3, 2)}), fb.Linear(6), fb.Tanh(), fb.Linear(2)], inputs=3, seed=0)
    fb.export.html(net, tmp_path / "page.html", ranges={"speed": (0, 100)}, inputs=["speed", "gear", "load"])
    page = opened(tmp_path / "page.html", moved("field0", 0.5) + moved("field2", -1.5))
    expected = net.predict([0.5, 0.0, -1.5])
    found = said(page)
    assert list(found) == ["y0", "y1"]
    np.testing.assert_allclose([number_of(one) for one in found.values()], expected, rtol=1e-3)
    slider = next(one for one in page.one("fields").all("input") if one.attributes["type"] == "range")
    assert (slider.attributes["min"], slider.attributes["max"]) == ("0", "100")
    assert len(page.one("fields").all("option")) == 3


@needs_browser
def test_the_columns_of_an_array_are_numbered(tmp_path):
    from fastbp.sklearn import MLPRegressor

    columns = table()
    X = np.stack([columns["size"], np.where(columns["city"] == "Rome", 3.0, 7.0), columns["floor"]], axis=1)
    model = MLPRegressor(hidden=(8,), epochs=5, random_state=0, categorical_features=[1]).fit(X, X[:, 0])
    fb.export.html(model, tmp_path / "page.html", ranges={"x0": (20, 80)})
    for k, code in enumerate((3.0, 7.0, np.nan)):
        choose = f'document.getElementById("field1").selectedIndex = {k};'
        choose += 'document.getElementById("field1").dispatchEvent(new Event("change"));'
        page = opened(tmp_path / "page.html", moved("field0", 61) + moved("field2", 0) + choose)
        found = number_of(page.one("said").all("strong")[0].text)
        np.testing.assert_allclose(found, model.predict([[61.0, code, 0.0]])[0], rtol=5e-4)
    assert [one.text for one in page.one("fields").all("option")] == ["3", "7", "(missing)"]


CONFIG = """
data: {path: t.csv, target: y, columns: {note: {type: words, size: 16}, serial: {type: date, unit: d}}}
network: {hidden: [8]}
trainer: {epochs: 3}
"""


@needs_browser
@pytest.mark.filterwarnings("ignore::fastbp.errors.DataWarning")
def test_dates_and_texts_have_fields_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    at = np.datetime64("2019-01-01T00:00") + rng.integers(0, 2_000_000, 200).astype("timedelta64[m]")
    notes = rng.choice(["a red car", "the blue car", "a horse"], 200)
    lines = [
        f"{a},{d},{n},{i / 10}"
        for i, (a, d, n) in enumerate(zip(at, rng.integers(17000, 19000, 200), notes, strict=True))
    ]
    (tmp_path / "t.csv").write_text("\n".join(["when,serial,note,y", *lines]) + "\n")
    (tmp_path / "c.yaml").write_text(CONFIG)
    assert main(["train", "c.yaml", "--run-dir", "run", "-q"]) == 0
    fb.export.html("run", tmp_path / "page.html")
    new = ("2021-05-06T07:30", 18000.0, "a blue horse")
    page = opened(tmp_path / "page.html", "".join(moved(f"field{i}", value) for i, value in enumerate(new)))
    kinds = [page.one(f"field{i}").attributes.get("type") or page.one(f"field{i}").kind for i in range(3)]
    assert kinds == ["datetime-local", "number", "textarea"]
    found = number_of(page.one("said").all("strong")[0].text)
    row = dict(zip(("when", "serial", "note"), ([one] for one in new), strict=True))
    np.testing.assert_allclose(found, fb.load("run").predict(row)["y"][0], rtol=1e-3)


@needs_browser
def test_logits_of_a_trained_network_are_shown_as_probabilities(tmp_path):
    X, y = fb.data.digits("train")
    net = fb.mlp([64, 16, 10], seed=0)
    fb.Trainer(net, loss="cross_entropy").run(X, y, steps=50)
    fb.export.html(net, tmp_path / "page.html")
    page = opened(tmp_path / "page.html")
    p = net.probabilities(np.zeros((1, 64)), loss="cross_entropy")[0]
    assert said(page) == {f"y{i}": f"{100 * one:.1f} %" for i, one in enumerate(p)}
    assert "hidden" not in page.one("search").attributes  # of many columns


@needs_browser
def test_what_the_model_refuses_is_said_on_the_page(tmp_path):
    columns = table()
    model, _ = estimator("MLPRegressor", columns, columns["size"])
    fb.export.html(model, tmp_path / "page.html")
    page = opened(tmp_path / "page.html", "values[0] = Infinity; draw();")
    assert page.one("problem").text == '"size" must be finite or missing'
    assert "hidden" not in page.one("problem").attributes
    assert not page.one("said").children


@needs_browser
def test_every_field_has_a_label(tmp_path):
    columns = table()
    model, _ = estimator("MLPRegressor", columns, columns["size"])
    fb.export.html(model, tmp_path / "page.html")
    page = opened(tmp_path / "page.html")
    named = {label.attributes.get("for") for label in page.all("label")}
    for one in [*page.all("input"), *page.all("select"), *page.all("textarea")]:
        assert one.attributes.get("id") in named or one.attributes.get("aria-label")


def test_a_page_loads_nothing(tmp_path):
    fb.export.html(fb.mlp([2, 3, 1], seed=0), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(link|img|iframe|script src)|@import|url\(|fetch\(|XMLHttp", text)
    assert "default-src 'none'" in text


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"ranges": {"z": (0, 1)}}, ConfigError, "`ranges` must be one of `x0`, `x1`, got `z`"),
        (
            {"ranges": {"x0": (1, 1)}},
            ConfigError,
            "`ranges['x0']` must rise from the lower to the upper end, got `(1, 1)`",
        ),
        ({"ranges": {"x0": 3}}, ConfigTypeError, "`ranges['x0']` must be `(low, high)`, got `3`"),
        ({"inputs": ["a"]}, ConfigError, "`inputs` must be 2 different names, got `['a']`"),
        ({"outputs": "y"}, ConfigTypeError, "`outputs` must be a list of texts, got `'y'`"),
        ({"title": 5}, ConfigTypeError, "`title` must be a text, got `5`"),
    ],
)
def test_what_cannot_be_is_said(options, error, text, tmp_path):
    with pytest.raises(error) as caught:
        fb.export.html(fb.mlp([2, 3, 1], seed=0), tmp_path / "page.html", **options)
    assert str(caught.value).splitlines()[0] == text
    with pytest.raises(ConfigError) as caught:
        fb.export.html(fb.mlp([2, 3, 1], seed=0), tmp_path / "page.htm")
    assert str(caught.value) == "`path` must end in `.html`, got `page.htm`"
