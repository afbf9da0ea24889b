"""Interfaces: what a signature says, what is refused when a DAG is parsed, and which edges fit."""

from __future__ import annotations

import dataclasses
import enum
import functools
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NewType, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from stepbridge.annotations import describe, shape_of
from stepbridge.codecs import registry
from stepbridge.codecs.handles import Directory, File, Pickle
from stepbridge.failures import TypeProblem
from stepbridge.interface import Interface, check_edge, check_types
from stepbridge.values import UNANNOTATED

if TYPE_CHECKING:
    import nowhere

T = TypeVar("T")
UserId = NewType("UserId", int)


class Color(enum.Enum):
    RED = "red"


class Other(enum.Enum):
    TEXT = "text"


@dataclasses.dataclass
class Plan:
    epochs: int
    frame: pd.DataFrame | None = None


@dataclasses.dataclass
class Twin:
    epochs: int
    frame: pd.DataFrame | None = None


@dataclasses.dataclass
class Tree:
    children: list[Tree]


class Pair(NamedTuple):
    left: int
    right: File


class Named(TypedDict):
    name: str


class Custom:
    pass


def example(
    frame: pd.DataFrame,
    /,
    epochs: int = 3,
    *rest: str,
    color: Color = Color.RED,
    note: str = None,  # type: ignore[assignment]  # noqa: RUF013
    **more: float,
) -> dict[str, File]:
    return {}


def test_a_signature_is_read() -> None:
    interface = Interface.of(example)
    assert [(p.name, p.kind, p.has_default) for p in interface.parameters] == [
        ("frame", "positional", False),
        ("epochs", "plain", True),
        ("rest", "args", False),
        ("color", "keyword", True),
        ("note", "keyword", True),
        ("more", "kwargs", False),
    ]
    assert interface.annotation("frame") is pd.DataFrame
    assert interface.annotation("note") == str | None
    assert interface.annotation("anything") is float
    assert interface.output == dict[str, File]
    assert interface.describe() == (
        "(positional frame: pandas.DataFrame, plain epochs: int = default, args rest: str, "
        "keyword color: enum Color[RED] = default, keyword note: none|str = default, kwargs more: float) "
        "-> dict[str,stepbridge.File]"
    )


def test_what_cannot_be_resolved_counts_as_absent() -> None:
    def step(a: nowhere.Thing, b: Missing, c: int, d: list[Missing]) -> nowhere.Thing: ...  # type: ignore[name-defined]  # noqa: F821

    interface = Interface.of(step)
    assert [p.annotation for p in interface.parameters] == [UNANNOTATED, UNANNOTATED, int, UNANNOTATED]
    assert interface.output is UNANNOTATED
    check_types(interface, "here")


def test_local_types_are_found() -> None:
    @dataclasses.dataclass
    class Local:
        n: int

    def step(a: Local, b: pd.DataFrame) -> Local:
        return Local(a.n)

    assert Interface.of(step).annotation("a") is Local
    assert Interface.of(step).output is Local

    def blind(a: Local) -> None: ...

    assert Interface.of(blind).annotation("a") is UNANNOTATED


def test_other_callables() -> None:
    class Step:
        def __call__(self, a: int) -> str:
            return ""

        @staticmethod
        def fixed(a: int) -> str:
            return ""

        def method(self, a: int) -> str:
            return ""

    @functools.wraps(example)
    def wrapped(*args: Any, **kwargs: Any) -> Any: ...

    for function in (Step(), Step.fixed, Step().method):
        assert Interface.of(function).annotation("a") is int
        assert Interface.of(function).output is str
    assert Interface.of(wrapped).annotation("epochs") is int
    bound = Interface.of(functools.partial(example, epochs=4))
    assert bound.annotation("frame") is pd.DataFrame
    assert Interface.of(lambda x: x).annotation("x") is UNANNOTATED


SUPPORTED = [
    int,
    float,
    str,
    bool,
    None,
    type(None),
    Any,
    object,
    dict,
    list,
    tuple,
    dict[str, Any],
    list[int],
    Literal["a", 1],
    bytes,
    datetime,
    date,
    Plan,
    Pair,
    Named,
    Tree,
    Color,
    pd.DataFrame,
    pd.Series,
    pa.Table,
    pl.DataFrame,
    np.ndarray,
    npt.NDArray[np.float64],
    File,
    Directory,
    Path,
    File | None,
    pd.DataFrame | None,
    list[pd.DataFrame],
    dict[str, File],
    tuple[File, int],
    Pickle[Custom],
    Pickle,
    UserId,
    T,
    Annotated[int, "note"],
    Sequence[float],
    Mapping[str, int],
    int | str,
    set[int],
    list[T],
]


@pytest.mark.parametrize("annotation", SUPPORTED, ids=str)
def test_supported_types(annotation: Any) -> None:
    def step(a): ...  # type: ignore[no-untyped-def]

    step.__annotations__ = {"a": annotation, "return": annotation}
    interface = Interface.of(step)
    check_types(interface, "here")
    assert interface.describe() == Interface.of(step).describe()
    assert "unsupported" not in interface.describe()


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Custom, "Custom"),
        (list[Custom], r"\[item\]"),
        (dict[str, Custom | None], "Custom"),
        (type[int], "type"),
        (File | Path, None),
        (Plan | Twin, "ambiguous"),
        (list[int] | list[str], "ambiguous"),
        (Color | str, "ambiguous"),
        (np.random.Generator, "Generator"),
        (Plan | Custom, "Custom"),
    ],
    ids=str,
)
def test_unsupported_types_are_refused_when_parsed(annotation: Any, text: str | None) -> None:
    def step(a): ...  # type: ignore[no-untyped-def]

    step.__annotations__ = {"a": annotation}
    if text is None:
        return
    with pytest.raises(TypeProblem, match=text) as caught:
        check_types(Interface.of(step), "dag.py:3")
    assert caught.value.code.id == "SB101"
    assert caught.value.place == "dag.py:3"
    assert "parameter 'a'" in caught.value.cause
    check_types(Interface.of(step), "dag.py:3", skip={"a"})


FITS = [
    (int, int),
    (int, float),
    (UNANNOTATED, int),
    (int, UNANNOTATED),
    (Any, pd.DataFrame),
    (pd.DataFrame, pd.DataFrame),
    (pd.DataFrame, str),
    (pd.DataFrame, Path),
    (pd.DataFrame, File),
    (File, pd.DataFrame),
    (File, Path),
    (Path, Directory),
    (str, File),
    (str, pd.DataFrame),
    (pd.DataFrame, pa.Table),
    (int | None, int),
    (int, int | None),
    (list[int], list),
    (list[int], list[float]),
    (dict[str, int], dict),
    (Plan, Plan),
    (Plan, dict),
    (dict, Plan),
    (Plan, Twin),
    (Pair, tuple),
    (tuple[int, str], tuple[int, str]),
    (tuple[int, ...], Sequence[int]),
    (Color, Color),
    (Color, str),
    (str, Color),
    (Literal["a"], str),
    (str, Literal["a"]),
    (Directory, str),
    (UserId, int),
    (tuple[int, str], tuple),
    (list[int], tuple[int, ...]),
    (dict[str, File], dict[str, Path]),
    (type(None), int | None),
    (Pickle[Custom], Pickle[Custom]),
    (Named, dict[str, str]),
    (int | str, str),
]
CLASHES = [
    (str, int),
    (int, str),
    (float, int),
    (bool, int),
    (pd.DataFrame, int),
    (pd.DataFrame, Directory),
    (int, pd.DataFrame),
    (pd.DataFrame, pd.Series),
    (np.ndarray, pd.DataFrame),
    (Directory, File),
    (list[int], list[str]),
    (dict, list),
    (list, dict),
    (tuple[int, str], tuple[int, str, int]),
    (Color, Other),
    (Color, int),
    (Literal["a"], int),
    (type(None), int),
    (datetime, date),
    (dict[str, File], File),
    (str | None, int),
    (Plan, Named),
    (set[int], list[int]),
    (pd.DataFrame, Plan),
    (Plan, pd.DataFrame),
    (Pickle[Custom], dict),
    (File, np.random.Generator | int),
]


@pytest.mark.parametrize(("made", "wanted"), FITS, ids=str)
def test_edges_that_fit(made: Any, wanted: Any) -> None:
    check_edge(made, wanted, "here")


@pytest.mark.parametrize(("made", "wanted"), CLASHES[:-1], ids=str)
def test_edges_that_cannot_fit(made: Any, wanted: Any) -> None:
    with pytest.raises(TypeProblem) as caught:
        check_edge(made, wanted, "dag: a >> b")
    assert caught.value.code.id == "SB107"
    assert caught.value.place == "dag: a >> b"


def test_type_names_do_not_depend_on_the_version() -> None:
    old = type("DataFrame", (), {"__module__": "pandas.core.frame", "__qualname__": "DataFrame"})
    new = type("DataFrame", (), {"__module__": "pandas", "__qualname__": "DataFrame"})
    assert (
        describe(shape_of(old))
        == describe(shape_of(new))
        == describe(shape_of(pd.DataFrame))
        == "pandas.DataFrame"
    )
    assert describe(shape_of(Path)) == "pathlib.Path"


def test_airflows_own_classes_are_left_to_the_runner() -> None:
    instance = type("TaskInstance", (), {"__module__": "airflow.models.taskinstance"})

    def step(ti): ...  # type: ignore[no-untyped-def]

    step.__annotations__ = {"ti": instance}
    check_types(Interface.of(step), "here")


def test_a_codec_of_another_package(tmp_path: Path) -> None:
    package = tmp_path / "acme_codec.py"
    package.write_text(
        "class Box: pass\n"
        "class BoxCodec:\n"
        "    name = 'box'\n"
        "    def handles_type(self, annotation): return annotation is Box\n"
        "    def handles_value(self, value): return isinstance(value, Box)\n"
        "    def type_name(self, annotation): return 'acme.Box'\n"
        "    def save(self, value, annotation, staging, *, place): raise NotImplementedError\n"
        "    def load(self, manifest, path, annotation, *, place): raise NotImplementedError\n"
    )
    info = tmp_path / "acme-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[stepbridge.codecs]\nbox = acme_codec:BoxCodec\n")
    code = (
        "import acme_codec; from stepbridge.codecs import registry; from stepbridge.annotations import *; "
        "print(registry.codec_for_type(acme_codec.Box).name, registry.codec_for_value(acme_codec.Box()).name,"
        " registry.codec_named('box').name, describe(shape_of(acme_codec.Box)))"
    )
    env = {"PYTHONPATH": ":".join([str(tmp_path), *sys.path])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.split() == ["box", "box", "box", "acme.Box"]


def test_the_registry_knows_formats_not_plain_values() -> None:
    for value in (1, "a", [1], {"a": 1}, None, 1.5, (1,)):
        assert registry.codec_for_value(value) is None
    for annotation in (int, str, list, dict[str, int], datetime, Any):
        assert registry.codec_for_type(annotation) is None
    names = {codec.name for codec in registry.BUILT_IN}
    assert names == {"file", "directory", "path", "parquet", "npy", "pickle", "json", "python", "bytes"}
    with pytest.raises(Exception, match=r"SB309.*'yaml'"):
        registry.codec_named("yaml")


def test_reading_an_interface_is_cheap() -> None:
    start = time.perf_counter()
    for _ in range(200):
        interface = Interface.of(example)
        check_types(interface, "here")
        interface.describe()
    assert (time.perf_counter() - start) / 200 < 0.01


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement is of Python 3.12")
def test_type_statements() -> None:
    scope: dict[str, Any] = {"File": File}
    exec("type Many[T] = list[T]\ntype One = File\ntype Both = dict[str, Many[One]]", scope)
    assert describe(shape_of(scope["One"])) == "stepbridge.File"
    assert describe(shape_of(scope["Many"][int])) == "list[int]"
    assert describe(shape_of(scope["Both"])) == "dict[str,list[stepbridge.File]]"
