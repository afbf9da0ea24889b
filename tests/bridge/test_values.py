"""Values by annotation and by themselves: what they become, that they come back, what is refused and how."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import subprocess
import sys
import uuid
from collections import OrderedDict, namedtuple
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pendulum
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from roundtrip import trip

from stepbridge import values
from stepbridge.artifact import Artifact
from stepbridge.codecs.handles import Directory, File, Pickle
from stepbridge.contract import Fields, Inline, Items, Outside, Stored
from stepbridge.failures import StoreProblem, TypeProblem
from stepbridge.values import UNANNOTATED

FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Plan:
    epochs: int
    rate: float = 0.1
    color: Color = Color.RED
    tags: list[str] = dataclasses.field(default_factory=list)
    seen: int = dataclasses.field(default=0, init=False)


@dataclasses.dataclass
class Output:
    frame: pd.DataFrame
    score: float


class Pair(NamedTuple):
    left: int
    right: str


class Split(NamedTuple):
    train: pd.DataFrame
    test: pd.DataFrame
    count: int = 0


class Shape(TypedDict):
    name: str
    size: NotRequired[int]


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    name: str
    when: datetime
    inner: list[int] = pydantic.Field(default_factory=list, alias="in")


@dataclasses.dataclass
class Tree:
    value: int
    children: list[Tree] = dataclasses.field(default_factory=list)


class Nothing:
    pass


def refused(code: str, value: object, annotation: Any, tmp: Path) -> TypeProblem:
    with pytest.raises(TypeProblem) as caught:
        trip(value, annotation, tmp)
    assert caught.value.code.id == code, caught.value
    assert caught.value.hint
    return caught.value


PLAIN = [
    None,
    True,
    0,
    -7,
    1 << 80,
    1 << 9000,
    1.5,
    -0.0,
    1e308,
    "",
    "text",
    "\ud800",
    "a\0b",
    [1, "a", None],
    {"b": 1, "a": {"$": 2}},
    {"$": 1, "v": 2},
    (1, (2, [3])),
    {1, 2},
    frozenset({"a"}),
    {1: "x", (1, 2): "y", None: 3},
    b"",
    b"\x00\xff",
    bytearray(b"x"),
    1 + 2j,
    Decimal("1.10"),
    datetime(2024, 1, 2, 3, 4, 5, 6),
    datetime(2024, 1, 2, tzinfo=UTC),
    datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    date(1, 1, 1),
    time(1, 2, 3, 4),
    time(1, tzinfo=UTC),
    timedelta(days=-1, microseconds=1),
    timedelta.max,
    uuid.UUID(int=5),
    Color.RED,
    Level.LOW,
    math.inf,
    [math.nan],
    [],
    {},
    (),
    set(),
    {"x": (1, {"y": {2: b"3"}})},
]


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(map(repr, a)) == list(map(repr, b)) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, datetime):
        return a == b and a.fold == b.fold and str(a.tzinfo) == str(b.tzinfo)
    if isinstance(a, float | Decimal):
        return repr(a) == repr(b)
    if isinstance(a, complex):
        return repr(a) == repr(b)
    return bool(a == b)


@pytest.mark.parametrize("value", PLAIN, ids=lambda v: f"{type(v).__name__}-{str(v)[:20]!a}")
def test_plain_values_round_trip_by_value(value: Any, tmp_path: Path) -> None:
    result = trip(value, UNANNOTATED, tmp_path)
    assert same(result.value, value)
    if type(value) is not bytes:
        assert isinstance(result.document, Inline)
        shown = value.value if isinstance(value, enum.Enum) else value
        assert same(result.seen, shown)


@pytest.mark.parametrize("value", PLAIN, ids=lambda v: f"{type(v).__name__}-{str(v)[:20]!a}")
def test_large_plain_values_are_stored(value: Any, tmp_path: Path) -> None:
    result = trip([value, "x" * 100], UNANNOTATED, tmp_path, limit=50)
    assert same(result.value, [value, "x" * 100])
    assert isinstance(result.document, Stored)
    assert result.document.artifact.format in {"json", "python"}
    assert result.seen == result.document.artifact.uri


ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.dates(),
    st.times(),
    st.datetimes(timezones=st.sampled_from([None, UTC, ZoneInfo("Asia/Tokyo")])),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.complex_numbers(),
    st.sampled_from(list(Color)),
)
KEYS = st.one_of(st.text(), st.integers(), st.none(), st.dates(), st.tuples(st.integers(), st.text()))
TREES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=4),
        st.dictionaries(st.sampled_from(["$", "v", "a"]), inner, max_size=3),
        st.frozensets(st.one_of(st.integers(), st.text()), max_size=4),
    ),
    max_leaves=12,
)


@FAST
@given(TREES)
def test_every_plain_tree_round_trips(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    result = trip(value, UNANNOTATED, tmp_path_factory.mktemp("tree"))
    assert same(result.value, value)


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=12,
)


@FAST
@given(JSON)
def test_json_is_inline_json_and_unchanged(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    for annotation in (UNANNOTATED, Any):
        result = trip(value, annotation, tmp_path_factory.mktemp("json"))
        assert isinstance(result.document, Inline)
        assert result.document.codec == "json"
        assert same(result.value, value)
        assert json.dumps(result.seen) == json.dumps(value)


def test_a_dict_keeps_its_order(tmp_path: Path) -> None:
    result = trip({"z": 1, "a": 2}, dict[str, int], tmp_path)
    assert list(result.value) == ["z", "a"]
    assert list(result.seen) == ["z", "a"]


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 3),
        (float, 3),
        (float, 2.5),
        (str, "s"),
        (bool, True),
        (type(None), None),
        (Any, [1]),
        (object, (1,)),
        (list, [1, {"a": None}]),
        (dict, {"a": [1.5]}),
        (list[int], [1, 2]),
        (dict[str, float], {"a": 1.5}),
        (Literal["a", 3], 3),
        (int | None, None),
        (int | str, "x"),
        (tuple[int, str], (1, "a")),
        (tuple[int, ...], (1, 2)),
        (tuple, (1, "x")),
        (Sequence[int], (1, 2)),
        (Mapping[str, int], {"a": 1}),
        (dict[int, str], {1: "a"}),
        (set[int], {1}),
        (frozenset[str], frozenset("a")),
        (datetime, datetime(2024, 1, 1)),
        (date, date(2024, 1, 1)),
        (time, time(1)),
        (timedelta, timedelta(1)),
        (Decimal, Decimal("1.0")),
        (uuid.UUID, uuid.UUID(int=1)),
        (bytes, b"x"),
        (Color, Color.BLUE),
        (list[Color], [Color.BLUE]),
        (Plan, Plan(3, tags=["a"], color=Color.BLUE)),
        (Pair, Pair(1, "a")),
        (Shape, {"name": "x"}),
        (Model, Model(name="m", when=datetime(2024, 1, 1), **{"in": [1]})),
        (Tree, Tree(1, [Tree(2)])),
        (Plan | None, Plan(1)),
        (Plan | Tree, Tree(1)),
        (list[Plan], [Plan(1)]),
        (dict[str, datetime], {"a": datetime(2024, 1, 1)}),
        (complex, 1j),
        (list[bytes], [b"x"]),
    ],
    ids=str,
)
def test_annotated_values_round_trip(annotation: Any, value: Any, tmp_path: Path) -> None:
    result = trip(value, annotation, tmp_path)
    assert type(result.value) is type(value)
    assert result.value == value


def test_not_initialised_fields_come_back(tmp_path: Path) -> None:
    plan = Plan(1)
    plan.seen = 5
    assert trip(plan, Plan, tmp_path).value.seen == 5


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "3"),
        (int, True),
        (int, 3.0),
        (float, "1"),
        (float, True),
        (str, 3),
        (bool, 1),
        (int, None),
        (list[int], [1, "2"]),
        (list, (1,)),
        (dict, [1]),
        (dict[str, int], {"a": "b"}),
        (Literal["a"], "b"),
        (Literal[1], True),
        (int | str, 2.5),
        (tuple[int, str], (1,)),
        (datetime, "2024-01-01"),
        (date, datetime(2024, 1, 1)),
        (Color, "green"),
        (Plan, {"epoch": 1}),
        (Plan, {}),
        (Plan, Plan("x")),
        (Shape, {"size": 1}),
        (Shape, {"name": "a", "other": 1}),
        (Pair, (1,)),
        (pd.DataFrame, {"a": [1]}),
        (pd.Series, pd.DataFrame()),
        (np.ndarray, [1]),
        (type(None), 1),
        (set[int], [1]),
        (Pickle[Nothing], 3),
        (list[pd.DataFrame], [1]),
        (Decimal, 1.5),
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_is_refused(annotation: Any, value: Any, tmp_path: Path) -> None:
    refused("SB103", value, annotation, tmp_path)


@pytest.mark.parametrize(
    ("annotation", "value", "where"),
    [
        (float, math.nan, "out"),
        (dict, {"a": {"b": [1, math.inf]}}, "out['a']['b'][1]"),
        (list[float], [1.0, math.nan], "out[1]"),
        (dict[str, Any], {"a": {1: 2}}, "out['a']"),
        (dict, {1: 2}, "out"),
        (dict[str, list[float]], {"x": [-math.inf]}, "out['x'][0]"),
    ],
)
def test_declared_json_refuses_nan_and_other_keys(
    annotation: Any, value: Any, where: str, tmp_path: Path
) -> None:
    assert refused("SB104", value, annotation, tmp_path).place == where


def test_what_no_codec_takes_is_named_with_its_place(tmp_path: Path) -> None:
    problem = refused("SB102", {"a": [1, Nothing()]}, UNANNOTATED, tmp_path)
    assert problem.place == "out['a'][1]"
    assert "Nothing" in problem.cause
    assert "Pickle[Nothing]" in problem.hint
    refused("SB102", (n for n in [1]), UNANNOTATED, tmp_path)
    refused("SB102", pd.NaT, UNANNOTATED, tmp_path)
    refused("SB102", [pd.NA], UNANNOTATED, tmp_path)
    refused("SB102", pd.Timestamp(1), UNANNOTATED, tmp_path)
    refused("SB102", np.datetime64(1, "ns"), UNANNOTATED, tmp_path)
    refused("SB102", {1: pd.DataFrame()}, UNANNOTATED, tmp_path)
    refused("SB101", 1, Nothing, tmp_path)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int32(3), 3),
        (np.float64(1.5), 1.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.bytes_(b"a"), b"a"),
        (np.datetime64("2024-01-01"), date(2024, 1, 1)),
        (pd.Timestamp("2024-01-01"), datetime(2024, 1, 1)),
        (pd.Timedelta("1s"), timedelta(seconds=1)),
        (OrderedDict(a=1), {"a": 1}),
        (pendulum.datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC)),
    ],
)
def test_what_looks_plain_is_made_plain(value: Any, plain: Any, tmp_path: Path) -> None:
    result = trip([value], UNANNOTATED, tmp_path).value[0]
    assert type(result) is type(plain)
    assert result == plain


def test_pendulum_comes_back_where_it_is_declared(tmp_path: Path) -> None:
    when = pendulum.datetime(2024, 1, 1, tz="Europe/Berlin")
    result = trip(when, pendulum.DateTime, tmp_path).value
    assert isinstance(result, pendulum.DateTime)
    assert result == when
    assert result.timezone_name == "Europe/Berlin"


FRAME = pd.DataFrame({"a": [1, 2]})


def test_containers_of_stored_values(tmp_path: Path) -> None:
    value = {"frame": FRAME, "list": [FRAME, 1, {"deep": np.arange(3)}], "n": 3, "t": (FRAME,)}
    for annotation in (UNANNOTATED, dict, dict[str, Any]):
        result = trip(value, annotation, tmp_path)
        assert isinstance(result.document, Fields)
        pd.testing.assert_frame_equal(result.value["frame"], FRAME)
        assert result.value["list"][1] == 1
        assert result.value["list"][2]["deep"].tolist() == [0, 1, 2]
        assert type(result.value["t"]) is tuple
        assert result.seen["n"] == 3
        assert result.seen["list"][0].endswith("/data.parquet")
        assert type(result.seen["t"]) is tuple
        assert len(result.drafts) == 4
    with pytest.raises(TypeProblem) as caught:
        trip({"frame": FRAME, "x": math.nan}, dict, tmp_path)
    assert caught.value.code.id == "SB104"
    refused("SB104", {"frame": FRAME, 1: 2}, dict, tmp_path)


def test_records_with_stored_fields(tmp_path: Path) -> None:
    result = trip(Output(FRAME, 0.5), Output, tmp_path)
    assert isinstance(result.value, Output)
    pd.testing.assert_frame_equal(result.value.frame, FRAME)
    assert isinstance(result.document, Fields)
    assert result.document.name == "Output"
    assert result.seen["score"] == 0.5
    split = trip(Split(FRAME, FRAME), Split, tmp_path)
    assert isinstance(split.value, Split)
    assert set(split.seen) == {"train", "test", "count"}
    by_value = trip(Split(FRAME, FRAME), UNANNOTATED, tmp_path)
    assert by_value.value["count"] == 0
    pair = trip((FRAME, 3), tuple[pd.DataFrame, int], tmp_path)
    assert isinstance(pair.document, Items)
    assert pair.value[1] == 3
    assert trip(Output(FRAME, 0.5), Output, tmp_path, reader=dict[str, Any]).value["score"] == 0.5


def test_records_by_value_are_plain_for_old_readers(tmp_path: Path) -> None:
    assert trip(Plan(3), UNANNOTATED, tmp_path).seen == {
        "epochs": 3,
        "rate": 0.1,
        "color": "red",
        "tags": [],
        "seen": 0,
    }
    assert trip(Pair(1, "a"), UNANNOTATED, tmp_path).seen == (1, "a")
    assert trip(namedtuple("P", "x")(1), UNANNOTATED, tmp_path).seen == (1,)
    assert trip({"name": "m", "when": datetime(2024, 1, 1)}, Model, tmp_path).value.name == "m"
    assert trip("red", Color, tmp_path).value is Color.RED
    assert trip([1, "a"], Pair, tmp_path).value == Pair(1, "a")


def test_pydantic_checks_its_fields(tmp_path: Path) -> None:
    class Narrow(pydantic.BaseModel):
        n: int = pydantic.Field(gt=3)

    problem = refused("SB103", {"n": 1}, Narrow, tmp_path)
    assert "greater than 3" in problem.cause


def test_pickle_only_where_both_sides_say_so(tmp_path: Path) -> None:
    result = trip(Plan(3), Pickle[Plan], tmp_path)
    assert result.value == Plan(3)
    assert result.drafts[0].type == "Pickle[test_values.Plan]"
    with pytest.raises(TypeProblem, match=r"SB103.*pickle"):
        trip(Plan(3), Pickle[Plan], tmp_path, reader=UNANNOTATED)
    refused("SB102", lambda: 1, Pickle[Any], tmp_path)
    assert trip({1: Plan(2)}, Pickle, tmp_path, reader=Pickle[dict]).value == {1: Plan(2)}


def test_unions_pick_the_member_that_was_stored(tmp_path: Path) -> None:
    union = pd.DataFrame | np.ndarray | int | None
    pd.testing.assert_frame_equal(trip(FRAME, union, tmp_path).value, FRAME)
    assert trip(np.arange(2), union, tmp_path).value.tolist() == [0, 1]
    assert trip(3, union, tmp_path).value == 3
    assert trip(None, union, tmp_path).value is None
    refused("SB103", "text", union, tmp_path)


def test_a_text_parameter_gets_the_uri(tmp_path: Path) -> None:
    result = trip(FRAME, pd.DataFrame, tmp_path, reader=str)
    assert result.value.startswith("s3://bucket/root/artifacts/")
    path = trip(FRAME, pd.DataFrame, tmp_path, reader=Path).value
    pd.testing.assert_frame_equal(pd.read_parquet(path), FRAME)
    handle = trip(FRAME, pd.DataFrame, tmp_path, reader=File).value
    assert handle.uri.startswith("s3://bucket/root/artifacts/")
    with pytest.raises(TypeProblem, match=r"SB103"):
        trip(FRAME, pd.DataFrame, tmp_path, reader=int)
    with pytest.raises(TypeProblem, match=r"SB103"):
        trip({"a": FRAME}, UNANNOTATED, tmp_path, reader=list[int])


def test_strings_can_refer_to_stored_values(tmp_path: Path) -> None:
    asked: list[tuple[str, Any]] = []
    reference = Stored(Artifact("s3://b/x", "0" * 64, "", "pandas.DataFrame", "parquet", 1))

    def refer(text: str, annotation: Any) -> Stored | Outside | None:
        asked.append((text, annotation))
        return reference if text.startswith("s3:") else None

    def encode(value: Any, annotation: Any) -> Any:
        return values.encode(value, annotation, tmp_path, place="out", refer=refer)

    assert encode("s3://b/x", pd.DataFrame) == reference
    assert encode("s3://b/x", pd.DataFrame | None) == reference
    assert encode("s3://b/x", UNANNOTATED) == reference
    assert encode("plain", UNANNOTATED) == Inline("json", "plain")
    assert encode("s3://b/x", str) == Inline("json", "s3://b/x")
    assert encode("s3://b/x", str | None) == Inline("json", "s3://b/x")
    assert encode(["s3://b/x"], list[pd.DataFrame]) == Items("list", (reference,))
    assert encode({"a": "s3://b/x"}, UNANNOTATED) == Fields({"a": reference})
    assert encode({"a": "s3://b/x"}, dict[str, dict]) == Fields({"a": reference})
    assert ("s3://b/x", pd.DataFrame) in asked


def test_drafts_and_artifacts_keep_their_order(tmp_path: Path) -> None:
    encoded = values.encode(
        {"b": FRAME, "a": [np.arange(2), 1, b"x" * 100]}, UNANNOTATED, tmp_path, place="out", inline_limit=50
    )
    made = values.drafts(encoded)
    assert [draft.format for draft in made] == ["parquet", "npy", "bytes"] or len(made) == 3
    refs = [Artifact(f"s3://b/{n}", d.digest, d.content, d.type, d.format, 1) for n, d in enumerate(made)]
    done = values.with_artifacts(encoded, refs)
    assert [ref.artifact.uri for ref in values.stored(done) if isinstance(ref, Stored)] == [
        r.uri for r in refs
    ]
    assert values.drafts(done) == ()
    with pytest.raises(ValueError, match="fewer"):
        values.with_artifacts(encoded, refs[:1])
    with pytest.raises(ValueError, match="more"):
        values.with_artifacts(encoded, [*refs, refs[0]])


def test_a_foreign_document_is_refused() -> None:
    with pytest.raises(StoreProblem, match=r"SB309"):
        values.decode(Inline("yaml", 1), UNANNOTATED, lambda _: None, place="in")  # type: ignore[arg-type]
    with pytest.raises(StoreProblem, match=r"SB309"):
        values.decode(Inline("python", {"$": "new", "v": 1}), UNANNOTATED, lambda _: None, place="in")  # type: ignore[arg-type]
    with pytest.raises(StoreProblem, match=r"SB309"):
        values.decode(Inline("python", {"$": "date", "v": "x"}), UNANNOTATED, lambda _: None, place="in")  # type: ignore[arg-type]


LOOKUP = """
import sys
from pathlib import Path
from stepbridge import values
from stepbridge.artifact import Artifact
from stepbridge.codecs import registry
from stepbridge.contract import Fields, Inline, Items, Stored
from stepbridge.interface import Interface, check_edge, check_types
def step(a: int, b: "pd.DataFrame", c: list[float] = None, *, d: dict | None = None) -> dict[str, Path]: ...
interface = Interface.of(step)
interface.describe(); check_types(interface, "here"); check_edge(int, float, "here")
registry.codec_for_type(Path); registry.codec_for_value([1]); registry.codec_named("parquet")
ref = Stored(Artifact("s3://b/x", "0" * 64, "", "pandas.DataFrame", "parquet", 1))
day = Inline("python", {"$": "date", "v": "2024-01-01"})
value = Fields({"a": ref, "b": Items("tuple", (Inline("json", 1), day))})
values.xcom_view(value); values.drafts(value); values.stored(value)
values.encode({"a": (1, 2)}, values.UNANNOTATED, Path("."), place="x")
heavy = {"pandas", "pyarrow", "numpy", "polars", "pydantic", "boto3"}
print([m for m in sys.modules if m.split(".")[0] in heavy])
"""


def test_lookups_import_no_library() -> None:
    done = subprocess.run([sys.executable, "-c", LOOKUP], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


DIGESTS = """
import tempfile, pathlib, dataclasses, numpy as np, pandas as pd
from stepbridge import values
frame = pd.DataFrame({"a": [1, 2], "s": ["x", "y"], "c": pd.Categorical(["u", "v"])})
things = [frame, frame["s"], np.arange(4.0), ({1, 2, "a", frozenset({"b", "c"})}, "x" * 100)]
things += [{"z": 1, "a": "y" * 100}]
out = []
for thing in things:
    staging = pathlib.Path(tempfile.mkdtemp())
    encoded = values.encode(thing, values.UNANNOTATED, staging, place="x", inline_limit=40)
    out += [draft.digest for draft in values.drafts(encoded)]
print(out)
"""


def test_digests_are_equal_in_every_process() -> None:
    seen = set()
    for seed in ("0", "1", "77"):
        env = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            [sys.executable, "-c", DIGESTS], capture_output=True, text=True, check=True, env=env
        )
        seen.add(done.stdout)
    assert len(seen) == 1
    assert next(iter(seen)).count("'") == 10


def test_the_handles_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("hé", encoding="utf-8")
    handle = File("a.txt")
    monkeypatch.chdir("/")
    with open(handle, encoding="utf-8") as source:
        assert source.read() == "hé"
    with handle.open() as source:
        assert source.read() == "hé"
    assert str(handle) == str(tmp_path / "a.txt")
    assert handle.uri == ""
    assert handle.name == "a.txt"
    folder = Directory(tmp_path)
    assert folder / "a.txt" == tmp_path / "a.txt"
    assert list(folder) == [tmp_path / "a.txt"]
    assert File("/x") == File("/x") != Directory("/x")
