"""What the bench prints and writes into the README."""

import pytest

from bench import cases, machine, readme, report
from bench.calls import Call
from bench.session import Choice, Entry, Result
from bench.timing import Duel

# Report


def result():
    entries = [
        Entry("fastbp", 2, 9000, [20.0, 25.0, 24.0], 2.25, 1.5, [1, 2, 1]),
        Entry("torch", 1, 900, [300.0, 250.0, 240.0], 2.25, 1.75, [1, 1, 1]),
    ]
    duels = {"torch": Duel([20.0, 25.0, 24.0], [300.0, 250.0, 240.0])}
    choice = Choice([20.0, 30.0, 22.0], {1: [20.0, 25.0, 20.0], 2: [40.0, 41.0, 42.0]})
    return Result(cases.named(["64-128"])[0], entries, duels, {1: 500.0, 2: 900.0}, choice)


def answered():
    entries = [Entry("fastbp", 1, 9000, [2.0]), Entry("torch", 1, 900, [6.0])]
    return Result(Call((17, 64, 6), 1, out=True), entries, {"torch": Duel([2.0], [6.0])}, {1: 50.0, 2: 80.0})


def test_the_main_table():
    assert report.ratio_head("fastbp", ["torch", "jax"]) == (
        "| net, batch | fastbp µs | GFLOP/s | of peak | torch/fastbp | jax/fastbp |\n|---|---|---|---|---|---|"
    )
    # (2·64·128 + 3·128·64 + 3·64·10) 2·64 = 5.49 Mflop in 24 µs; of the 500 of one core, as the team was mostly one
    assert report.ratio_row(result(), ["torch"]) == (
        "| 64-128-64-10, 64 | 24.0 (20.0..25.0) | 229 | 46 % | **10.0** (10.0..15.0) |"
    )


def test_the_table_of_contenders():
    assert report.details([result()]).splitlines()[2:] == [
        "| 64-128-64-10, 64 | fastbp | 2 | 24.0 (20.0..25.0) | 229 | 2.250000 | 1.500000 | 9000 |",
        "| 64-128-64-10, 64 | torch | 1 | 250 (240..300) | 22.0 | 2.250000 | 1.750000 | 900 |",
    ]


def test_the_table_of_contenders_that_predict_has_no_losses():
    # 2 (17·64 + 64·6) = 2944 flops in 2 µs
    assert report.details([answered()]).splitlines() == [
        "| net | contender | threads | µs a call | GFLOP/s | calls timed |",
        "|---|---|---|---|---|---|",
        "| 17-64-6, 1 row, out= | fastbp | 1 | 2.00 (2.00..2.00) | 1.47 | 9000 |",
        "| 17-64-6, 1 row, out= | torch | 1 | 6.00 (6.00..6.00) | 0.49 | 900 |",
    ]


def test_the_choice_of_a_team_stands_beside_all_that_could_be_chosen():
    assert report.choices([answered(), result()]).splitlines() == [
        "| net, batch | team | chosen, µs | 1 fixed, µs | 2 fixed, µs | choice |",
        "|---|---|---|---|---|---|",
        "| 64-128-64-10, 64 | 1 (1, 2) | 22.0 (20.0..30.0) | 20.0 (20.0..25.0) | 41.0 (40.0..42.0) "
        "| +10 % (+0 % .. +20 %) of the best, 1 |",
    ]
    assert report.choices([answered()]) == ""


FACTS = {
    "machine": "Some CPU",
    "threads": "2",
    "load": "0.10",
    "python": "3.11.7",
    "commit": "abc",
    "date": "2026-01-02 03:04 UTC",
    "torch": "2.13",
}


def test_the_section_of_the_readme_says_machine_day_versions_and_peak():
    tables = {"train": [result()], "predict": [answered()]}
    lines = report.for_readme(FACTS, "fastbp", tables, {"train": ["torch"], "predict": ["torch"]}).splitlines()
    assert lines[0] == (
        "**Some CPU**, 2026-01-02, commit abc, Python 3.11.7, torch 2.13; load 0.10 before it; peak of fused "
        "multiply-adds, before or behind each row, whichever was larger: 275 (50.0..500) GFLOP/s on 1 and 490 "
        "(80.0..900) GFLOP/s on 2."
    )
    assert report.ratio_row(result(), ["torch"]) in lines
    assert report.ratio_row(answered(), ["torch"]) in lines
    assert lines.count("") == 2


OLD = f"# Title\n\n{readme.section('AMD', 'fast')}\nbetween\n\n{readme.section('Intel', 'slow')}\nend\n"


def test_a_report_replaces_its_own_section_and_no_other():
    new = readme.rewritten(OLD, "AMD", "faster\n")
    assert new == OLD.replace("fast\n", "faster\n")
    assert readme.rewritten(new, "AMD", "fast") == OLD


def test_a_report_of_a_new_kind_goes_behind_the_last_one():
    new = readme.rewritten(OLD, "Arm", "small")
    assert new == OLD.replace("\nend\n", f"\n{readme.section('Arm', 'small')}\nend\n")


@pytest.mark.parametrize(
    "broken",
    [
        "no section\n",
        OLD.replace("<!-- end of bench of AMD -->\n", ""),
        OLD.replace("of bench of AMD", "of bench of Arm"),
        OLD.replace("Intel", "AMD"),
    ],
    ids=["none", "open", "other", "twice"],
)
def test_a_readme_without_clear_markers_is_not_written(broken, tmp_path, monkeypatch):
    file = tmp_path / "README.md"
    monkeypatch.setattr(readme, "README", file)
    file.write_text(broken)
    with pytest.raises(readme.MarkersError, match=r"^`README.md` must have sections from `<!-- bench of X -->` to `"):
        readme.write("AMD", "faster")
    assert file.read_text() == broken


def test_the_readme_has_sections_that_can_be_written():
    text = readme.README.read_text(encoding="utf-8")
    kinds = [one["kind"] for one in readme.SECTION.finditer(text)]
    assert {"AMD", "Intel"} <= set(kinds)
    new = readme.rewritten(text, "AMD", "new")
    assert "\nnew\n" in new
    assert [one["kind"] for one in readme.SECTION.finditer(new)] == kinds


AVX512 = "avx512f avx512vl avx512bw avx512dq avx512cd"


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("vendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R)\n", "Intel", "Intel(R) Xeon(R)"),
        ("model name\t: AMD EPYC\nvendor_id\t: AuthenticAMD\n", "AMD", "AMD EPYC"),
        ("vendor_id\t: Somebody\nmodel name\t: one\n", "Somebody", "one"),
        (f"vendor_id\t: AuthenticAMD\nmodel name\t: one\nflags\t\t: fma avx2 {AVX512}\n", "AMD", "one"),
        ("vendor_id\t: GenuineIntel\nmodel name\t: one\nflags\t\t: fma avx2 avx512f\n", "Intel with AVX2", "one"),
        ("vendor_id\t: AuthenticAMD\nmodel name\t: one\nflags\t\t: fma avx2\n", "AMD with AVX2", "one"),
    ],
)
def test_the_kind_of_a_machine_is_the_maker_and_the_width_of_its_processor(text, kind, name, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    machine.CPUINFO.write_text(text)
    assert (machine.kind(), machine.processor()) == (kind, name)
    width = " with AVX2" if kind.endswith("AVX2") else " with AVX-512" if "flags" in text else ""
    assert machine.facts(1)["machine"].startswith(f"{name}{width}, ")


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0514, "0.051"), (2.8, "2.80"), (23.06, "23.1"), (187.4, "187"), (226714.0, "226714")],
)
def test_numbers_have_three_digits_and_no_exponent(number, text):
    assert report.digits(number) == text
