import csv
import itertools
import pathlib
import subprocess
import sys
import threading
import time

import pytest

from emotion_gcn_jax.errors import UserError
from emotion_gcn_jax.releases.building import (
    REPORT_COLUMNS,
    Building,
    Doubtful,
    Entry,
    ReleaseSplit,
    Skip,
    in_order,
    unlikely_counts,
)


@pytest.fixture
def config_dir(tmp_path) -> pathlib.Path:
    return tmp_path / "faces" / "small"


@pytest.fixture
def report(config_dir) -> pathlib.Path:
    return config_dir.parent / "reports" / "small_skipped.csv"


def rows(report: pathlib.Path) -> list[dict[str, str]]:
    with report.open(newline="") as lines:
        return list(csv.DictReader(lines))


def make(number: int) -> dict:
    """An example of an even number; every other odd one is lost, the others are repeated ones."""
    if number % 2:
        raise Skip("odd", f"found {number}", lost=number % 4 == 1)
    return {"half": number // 2}


def numbered(count: int) -> ReleaseSplit:
    entries = (Entry(f"n{number}", f"list line {number}", number) for number in range(count))
    return ReleaseSplit(entries, count, make)


def test_of_several_entries_with_one_id_the_first_that_can_be_built_is(config_dir, report):
    entries = [Entry("a", "first/a.png", 5), Entry("a", "second/a.png", 4), Entry("a", "third/a.png", 6)]
    with Building.start(config_dir, "incomplete.1", max_lost_share=0.4) as building:
        assert list(building.examples("train", ReleaseSplit(entries, 3, make))) == [("a", {"id": "a", "half": 2})]
    assert [row["reason"] for row in rows(report)] == ["odd", "listed before"]
    assert "1 lost (1 odd); 1 left aside (1 listed before)" in building.summary()


def test_examples_come_in_order_and_the_others_are_reported(config_dir, report, capsys):
    entries = [Entry("a", "line 1", 4), Entry("b", "line 2", Skip("no box", "NULL")), Entry("c", "line 3", 5)]
    entries += [Entry('d, "e"', "line 4", 3), Entry("f", "line 5", 6)]
    split = ReleaseSplit(entries, 5, make, not_examples={"Uncertain": 1200}, warnings=("Warning: odd counts.",))
    with Building.start(config_dir, "incomplete.1", max_lost_share=0.4) as building:
        assert list(building.examples("train", split)) == [("a", {"id": "a", "half": 2}), ("f", {"id": "f", "half": 3})]
    assert rows(report) == [
        dict(zip(REPORT_COLUMNS, row, strict=True))
        for row in [
            ("train", "line 2", "b", "no box", "NULL"),
            ("train", "line 3", "c", "odd", "found 5"),
            ("train", "line 4", 'd, "e"', "odd", "found 3"),
        ]
    ]
    assert capsys.readouterr().out.splitlines() == [
        "faces/small train: Warning: odd counts.",
        "faces/small train: 2 examples; 2 lost (1 no box, 1 odd); 1 left aside (1 odd); "
        "1,200 no examples by their nature (1,200 Uncertain)",
        f"What was skipped, and why: {report}",
    ]


def test_doubtful_examples_are_kept_and_warned_of(config_dir, report, capsys):
    def doubt(number):
        return Doubtful(make(number), "too small", f"found {number}") if number < 4 else make(number)

    split = ReleaseSplit([Entry(f"n{number}", "", number) for number in (0, 2, 4)], 3, doubt)
    with Building.start(config_dir, "", max_lost_share=0) as building:
        assert [example for _, example in building.examples("train", split)] == [
            {"id": f"n{number}", "half": number // 2} for number in (0, 2, 4)
        ]
    assert [(row["id"], row["reason"], row["detail"]) for row in rows(report)] == [
        ("n0", "kept: too small", "found 0"),
        ("n2", "kept: too small", "found 2"),
    ]
    assert "3 examples; Warning: 2 of them doubtful, look at their images (2 too small)" in capsys.readouterr().out


def test_the_report_is_written_while_building(config_dir, report):
    with pytest.raises(RuntimeError, match="disk"), Building.start(config_dir, "", max_lost_share=1) as building:
        for name, _ in building.examples("train", numbered(20)):
            if name == "n6":
                assert [row["id"] for row in rows(report)][:3] == ["n1", "n3", "n5"]
                raise RuntimeError("disk full")
    assert [row["id"] for row in rows(report)][:3] == ["n1", "n3", "n5"]
    with Building.start(config_dir, "", max_lost_share=1):
        assert rows(report) == []


def test_too_many_losses_stop_the_build_as_soon_as_that_is_certain(config_dir, report):
    taken = itertools.count()
    entries = (Entry(f"{next(taken)}", "", Skip("missing")) for _ in range(100_000))
    with (
        pytest.raises(UserError, match=r"0 examples; 1,001 lost \(1,001 missing\): .* most 1.00% of 100,000 entries"),
        Building.start(config_dir, "", max_lost_share=0.01) as building,
    ):
        list(building.examples("train", ReleaseSplit(entries, 100_000, make)))
    assert len(rows(report)) == 1001
    assert not any(thread.name.startswith("building") for thread in threading.enumerate())
    assert next(taken) < 3000


def test_losses_up_to_the_share_are_borne(config_dir):
    with Building.start(config_dir, "", max_lost_share=0.25) as building:
        assert len(list(building.examples("train", numbered(40)))) == 20  # ten odd ones lost, ten repeated


def test_a_split_without_examples_is_a_mistake(config_dir):
    split = ReleaseSplit([Entry("a", "", Skip("listed twice", lost=False))], 1, make)
    with pytest.raises(UserError, match="found none"), Building.start(config_dir, "", max_lost_share=1) as building:
        list(building.examples("train", split))


def test_what_killed_builds_left_is_cleared_and_said(config_dir, capsys):
    for name in ("incomplete.AAAAAA_1.0.0", "incomplete.OWN_1.0.0", "1.0.0"):
        (config_dir / name).mkdir(parents=True)
        (config_dir / name / "bucket.tmp").write_bytes(b"x" * 2_500_000)
    with Building.start(config_dir, "incomplete.OWN_1.0.0", max_lost_share=0):
        pass
    assert sorted(folder.name for folder in config_dir.iterdir()) == ["1.0.0", "incomplete.OWN_1.0.0"]
    said = capsys.readouterr().out
    assert f"found and deleted {config_dir}/incomplete.AAAAAA_1.0.0, 2.5 MB that a killed build had left" in said


def test_two_builds_at_once_do_not_clear_each_other(config_dir):
    other = (
        "import pathlib, sys; from emotion_gcn_jax.releases.building import Building\n"
        "with Building.start(pathlib.Path(sys.argv[1]), '', 0): print('started', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", other, str(config_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "started\n"
        with pytest.raises(UserError, match="only build of faces/small"), Building.start(config_dir, "", 0):
            pass
        process.kill()
    with Building.start(config_dir, "", 0):
        pass


def test_in_order_keeps_the_order_of_slow_and_fast_items():
    def slow_if_even(number: int) -> int:
        time.sleep(0.005 * (number % 2 == 0))
        return -number

    assert list(in_order(slow_if_even, range(50), threads=4)) == [(number, -number) for number in range(50)]


def test_in_order_works_at_several_items_at_once():
    barrier = threading.Barrier(3, timeout=20)
    assert len(list(in_order(lambda _: barrier.wait(), range(6), threads=3))) == 6


def test_in_order_takes_few_items_ahead():
    taken = itertools.count()
    results = in_order(lambda item: item, iter(lambda: next(taken), None), threads=2)
    assert [next(results)[0] for _ in range(100)] == list(range(100))
    assert next(taken) < 110


def test_in_order_raises_an_error_in_its_turn():
    results = in_order(lambda item: 1 // (item - 2), range(5), threads=2)
    assert [next(results)[1], next(results)[1]] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_unlikely_counts():
    expected = {"Neutral": 74874, "Happy": 134416, "Contempt": 3750}
    assert unlikely_counts(expected, {"Neutral": 74874, "Happy": 134415, "Contempt": 3750}, slack=1) == ()
    assert unlikely_counts(expected, {"Neutral": 74874, "Happy": 13}, slack=1) == (
        "Warning: the counts cannot be the known release's: expected Happy 134,416, found 13; Contempt 3,750, found 0.",
    )
