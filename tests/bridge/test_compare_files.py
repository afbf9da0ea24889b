"""Files by their values or bytes, directories by their trees: nothing in them is passed over."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepbridge import Directory, documents
from stepbridge.compare.base import Side
from stepbridge.compare.directories import DirectoryComparator
from stepbridge.compare.engine import compare_values
from stepbridge.compare.files import FileComparator
from stepbridge.compare.model import Part, Subject, Verdict
from stepbridge.compare.render.markdown import markdown
from stepbridge.compare.reporting import report_of
from stepbridge.compare.rules import Compare, Ignore, Metric
from stepbridge.compare.sides import value_of


def files(
    tmp: Path, control: bytes | str, candidate: bytes | str, suffix: str = ".bin", **rules: Any
) -> Part:
    sides = []
    for name, data in (("a", control), ("b", candidate)):
        path = tmp / (name + suffix)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        sides.append(Side(str(path), "stepbridge.File", path=path))
    assert FileComparator().takes(sides[0], sides[1])
    return FileComparator().compare(sides[0], sides[1], Compare(**rules), "file")


def tree(root: Path, **entries: str | None) -> Path:
    """A folder with files by their paths (``__`` for a slash); None makes an empty folder."""
    root.mkdir(parents=True)
    for name, text in entries.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.mkdir()
        else:
            path.write_text(text)
    return root


def trees(control: Path, candidate: Path, **rules: Any) -> Part:
    sides = [Side(str(path), "stepbridge.Directory", path=path) for path in (control, candidate)]
    assert DirectoryComparator().takes(sides[0], sides[1])
    return DirectoryComparator().compare(sides[0], sides[1], Compare(**rules), "out")


# files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("control", "candidate", "path", "kind"),
    [
        (b"abc", b"abd", "offset 2", "value"),
        (b"abc", b"abcd", "offset 3", "extra"),
        (b"abc", b"ab", "offset 2", "missing"),
        (b"", b"x", "offset 0", "extra"),
        (b"x" * 3_000_000 + b"1", b"x" * 3_000_000 + b"2", "offset 3,000,000", "value"),
    ],
)
def test_the_first_byte_that_differs(
    control: bytes, candidate: bytes, path: str, kind: str, tmp_path: Path
) -> None:
    part = files(tmp_path, control, candidate)
    assert part.verdict is Verdict.DIFFERENT
    assert [(one.path, one.kind) for one in part.differences] == [(path, kind)]
    assert part.of == max(len(control), len(candidate))
    assert files(tmp_path, control, control).verdict is Verdict.IDENTICAL


@given(st.binary(min_size=1, max_size=400), st.data())
@settings(max_examples=40, deadline=None)
def test_any_changed_byte_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, draw: st.DataObject
) -> None:
    at = draw.draw(st.integers(0, len(data) - 1))
    other = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    part = files(tmp_path_factory.mktemp("bytes"), data, other)
    assert part.differences[0].path == f"offset {at}"


def test_two_empty_files_are_said_to_be_empty(tmp_path: Path) -> None:
    for suffix in (".bin", ".json"):
        part = files(tmp_path, b"", b"", suffix)
        assert part.rule.startswith("both are empty")
        assert (part.verdict, part.compared, part.of) == (Verdict.IDENTICAL, 0, 0)


def test_json_files_are_compared_by_value(tmp_path: Path) -> None:
    assert files(tmp_path, '{"a": 1, "b": [2]}', '{"b":[2],"a":1}', ".json").verdict is Verdict.IDENTICAL
    part = files(tmp_path, '{"a": {"b": [1, 2.0]}}', '{"a": {"b": [1, 2.5]}}', ".json")
    assert [one.path for one in part.differences] == ["$.a.b[1]"]
    assert files(tmp_path, '{"a": 2.0}', '{"a": 2.1}', ".json", atol=0.2).verdict is Verdict.EQUIVALENT
    assert files(tmp_path, '{"a": 1}', '{"a": 1.0}', ".json").verdict is Verdict.DIFFERENT


@pytest.mark.parametrize("broken", ['{"a": 1', '{"a": 1, "a": 2}', "[" * 200_000, '"\udcff"', "1" * 5000])
def test_what_is_no_clear_json_is_compared_by_bytes(broken: str, tmp_path: Path) -> None:
    data = broken.encode("utf-8", "surrogateescape")
    part = files(tmp_path, data, b'{"a": 2}', ".json")
    assert part.verdict is Verdict.DIFFERENT
    assert part.comparator == "file"
    assert "as JSON" in part.skipped[0].what


def test_metrics_in_a_json_file_are_held(tmp_path: Path) -> None:
    rules = {"metrics": (Metric("auc >= control - 0.01"),)}
    assert files(tmp_path, '{"auc": 0.9}', '{"auc": 0.895}', ".json", **rules).verdict is Verdict.EQUIVALENT
    part = files(tmp_path, '{"auc": 0.9}', '{"auc": 0.8}', ".json", **rules)
    assert (part.verdict, part.comparator) == (Verdict.DIFFERENT, "metrics")


# directories -----------------------------------------------------------------------------------------


def test_a_tree_says_what_came_went_and_changed(tmp_path: Path) -> None:
    a = tree(tmp_path / "a", same="1", changed__deep="1", gone="1", kind="1", hollow=None)
    b = tree(tmp_path / "b", same="1", changed__deep="2", new="1", kind__inner="1", hollow=None)
    part = trees(a, b)
    assert part.verdict is Verdict.DIFFERENT
    assert part.rule == "2 added, 2 removed, 1 changed, 2 equal"
    assert {(one.path, one.kind) for one in part.differences} == {
        ("gone", "missing"),
        ("kind", "missing"),
        ("kind/inner", "extra"),
        ("new", "extra"),
    }
    assert [one.name for one in part.parts] == ["out/changed/deep"]
    assert (part.total, part.compared, part.of) == (5, 7, 7)
    assert trees(b, a).rule == part.rule


def test_counts_hold_beyond_the_samples(tmp_path: Path) -> None:
    a = tree(tmp_path / "a", **{f"f{n}": "1" for n in range(40)})
    b = tree(tmp_path / "b", **{f"g{n}": "1" for n in range(30)})
    part = trees(a, b, samples=3)
    assert part.rule == "30 added, 40 removed"
    assert (len(part.differences), part.total) == (3, 70)


def test_empty_folders_count(tmp_path: Path) -> None:
    a, b = tree(tmp_path / "a", hollow=None), tree(tmp_path / "b")
    assert [(one.path, one.kind) for one in trees(a, b).differences] == [("hollow", "missing")]
    assert trees(a, a).verdict is Verdict.IDENTICAL
    part = trees(b, b)
    assert (part.verdict, part.rule, part.of) == (Verdict.IDENTICAL, "both are empty: no files", 0)


def test_ignored_files_explain_and_are_counted_by_rule(tmp_path: Path) -> None:
    a = tree(tmp_path / "a", model="1", logs__1="x", logs__2__deep="x", logs__3="same")
    b = tree(tmp_path / "b", model="1", logs__1="y", logs__2__deep="y", logs__4="new", logs__3="same")
    part = trees(a, b, ignore=(Ignore("logs/**", "times in them"),))
    assert part.verdict is Verdict.EXPLAINED
    assert part.rule == "only differences that a rule ignores: 3"
    assert [(one.name, one.allowed, one.reason) for one in part.relaxations] == [
        ("ignore:logs/**", 3, "times in them")
    ]
    (b / "model").write_text("2")
    part = trees(a, b, ignore=(Ignore("logs/**", "times in them"),))
    assert (part.verdict, part.rule) == (Verdict.DIFFERENT, "1 changed, 3 ignored, 1 equal")
    assert (
        trees(a, b, ignore=(Ignore("logs/*", "top only"), Ignore("model", "x"))).verdict is Verdict.DIFFERENT
    )
    late = (Ignore("**", "for a while", until="2020-01-01"),)
    assert trees(a, b, ignore=late).verdict is Verdict.DIFFERENT


def test_changes_within_the_rules_are_equivalent(tmp_path: Path) -> None:
    a = tree(tmp_path / "a", **{"report.txt": "one \n", "m.json": '{"x": 1.0}'})
    b = tree(tmp_path / "b", **{"report.txt": "one\n", "m.json": '{"x": 1.01}'})
    part = trees(a, b, equal=("whitespace",), rtol=0.1)
    assert (part.verdict, part.rule) == (Verdict.EQUIVALENT, "2 changed within the rules")
    assert trees(a, b, equal=("whitespace",)).verdict is Verdict.DIFFERENT


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    def made(name: str, target: str) -> Path:
        root = tree(tmp_path / name, data__f="1", other__f="2")
        (root / "file").symlink_to("data/f")
        (root / "folder").symlink_to(target)
        (root / "self").symlink_to("self")
        (root / "up").symlink_to("..")
        (root / "data" / "round").symlink_to("../data")
        (root / "nowhere").symlink_to("missing")
        return root

    a = made("one/a", "data")
    assert trees(a, a).verdict is Verdict.IDENTICAL
    assert trees(a, made("two/a", "data")).verdict is Verdict.IDENTICAL
    part = trees(a, made("three/a", "other"))
    assert part.verdict is Verdict.DIFFERENT
    assert "out/folder/f" in [one.name for one in part.parts]
    plain = tree(tmp_path / "four" / "a", file="1")
    linked = tree(tmp_path / "five" / "a")
    (linked / "file").symlink_to(plain / "file")
    assert trees(plain, linked).verdict is Verdict.IDENTICAL


def test_a_changed_loop_is_seen(tmp_path: Path) -> None:
    a, b = tree(tmp_path / "a"), tree(tmp_path / "b")
    (a / "link").symlink_to("nowhere")
    (b / "link").symlink_to("elsewhere")
    assert [(one.path, one.kind) for one in trees(a, b).differences] == [("link", "type")]


def test_what_is_no_file_keeps_trees_from_being_identical(tmp_path: Path) -> None:
    a, b = tree(tmp_path / "a", f="1"), tree(tmp_path / "b", f="1")
    for root in (a, b):
        os.mkfifo(root / "pipe")
    part = trees(a, b)
    assert part.verdict is Verdict.EQUIVALENT
    assert (part.compared, part.of, part.skipped[0].what) == (1, 2, "pipe")


def test_names_of_any_bytes(tmp_path: Path) -> None:
    names = ["ä", "a\u0308", "日本", "a b\n", "*[x]", os.fsdecode(b"\xff\xfe")]
    a, b = tree(tmp_path / "a"), tree(tmp_path / "b")
    for n, name in enumerate(names):
        (a / name).write_text("1")
        (b / name).write_text(str(n))
    part = trees(a, b)
    assert len(part.parts) == 5
    report = report_of(Subject("a", "b"), [part])
    assert documents.load(type(report), documents.dump(report), place="x") == report
    assert "\\udcff" in markdown(report).encode("utf-8", "backslashreplace").decode()


def test_equal_digests_end_a_comparison_early(tmp_path: Path) -> None:
    a = tree(tmp_path / "a", x="1", y__z="2", hollow=None)
    other = tree(tmp_path / "b", x="1", y__z="2", hollow=None)
    (part,) = compare_values(
        {"v": value_of(Directory(a), tmp_path)}, {"v": value_of(Directory(other), tmp_path)}, Compare()
    )
    assert (part.verdict, part.compared) == (Verdict.IDENTICAL, 3)
    assert "digests" in part.rule
    (other / "hollow").rmdir()
    (part,) = compare_values(
        {"v": value_of(Directory(a), tmp_path)}, {"v": value_of(Directory(other), tmp_path)}, Compare()
    )
    assert [one.path for one in part.differences] == ["hollow"]


def test_a_directory_of_empty_folders_keeps_them(tmp_path: Path) -> None:
    a, b = tree(tmp_path / "a", x__y=None), tree(tmp_path / "b", x=None)
    (part,) = compare_values(
        {"v": value_of(Directory(a), tmp_path)}, {"v": value_of(Directory(b), tmp_path)}, Compare()
    )
    assert {(one.path, one.kind) for one in part.differences} == {("x/y", "missing"), ("x", "extra")}


@pytest.mark.slow
def test_twenty_thousand_files(tmp_path: Path) -> None:
    roots = [tmp_path / "a", tmp_path / "b"]
    for root in roots:
        for folder in range(20):
            (root / str(folder)).mkdir(parents=True)
            for n in range(1000):
                fd = os.open(root / str(folder) / str(n), os.O_CREAT | os.O_WRONLY)
                os.write(fd, b"x")
                os.close(fd)
    (roots[1] / "7" / "77").write_text("y")
    started = time.process_time()
    part = trees(*roots)
    assert part.rule == "1 changed, 19,999 equal"
    assert time.process_time() - started < 10
    json.dumps(documents.to_json(part))


def test_metrics_in_a_folder_are_held_where_they_are(tmp_path: Path) -> None:
    files = {"config.json": '{"layers": 2}', "metrics.json": '{"auc": 0.9}'}
    a, b = tree(tmp_path / "a", **files), tree(tmp_path / "b", **files)
    held = (Metric("auc >= control - 0.01"),)
    part = trees(a, b, metrics=held)
    assert (part.verdict, part.rule) == (Verdict.IDENTICAL, "all 2 entries are equal")
    assert [(one.name, one.comparator) for one in part.parts] == [("out/metrics.json", "metrics")]
    assert trees(a, b, metrics=(Metric("auc > control"),)).verdict is Verdict.DIFFERENT
    (b / "metrics.json").write_text('{"auc": 0.895}')
    assert trees(a, b, metrics=held).verdict is Verdict.EQUIVALENT
    (b / "config.json").write_text('{ "layers": 2 }')
    assert trees(a, b, metrics=held).rule == "1 changed within the rules, 1 equal"
    (b / "metrics.json").write_text('{"acc": 0.9}')
    assert trees(a, b, metrics=held).verdict is Verdict.DIFFERENT
    sides = [{"v": value_of(Directory(root), tmp_path)} for root in (a, a)]
    assert [one.verdict for one in compare_values(*sides, Compare(metrics=held))] == [Verdict.IDENTICAL]
