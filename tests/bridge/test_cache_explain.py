"""Why a look-up missed: every kind of edit is named, one change alone, and foreign records break nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from code_project import Project, project
from hypothesis import given, settings
from hypothesis import strategies as st
from runner_harness import Harness
from test_cache_key import CASES, artifact, key

from stepbridge import documents
from stepbridge.cache.explain import (
    Change,
    Difference,
    Kind,
    code_differences,
    differences,
    equal_fields,
    explain_miss,
    key_of,
    part_rows,
    rows,
    why,
)
from stepbridge.cache.key import SCHEMA, build_key
from stepbridge.cache.lookup import Miss, look_up
from stepbridge.contract import Attempt, CacheEntry, CacheTarget, Inline, Stored, StoreSettings
from stepbridge.failures import CODES
from stepbridge.store.base import Store
from stepbridge.store.opening import open_store

PROJECT = {
    "dag.py": """
        import functools
        import json as j
        import pkg.mod
        from features import clean, Frame
        from pkg import shared
        SCALE = 2
        TABLE = {"a": 1}
        class Base:
            rate = 1
        class Model(Base):
            def fit(self, x):
                return x * self.rate
        def wrap(fn):
            return lambda *a, **k: fn(*a, **k)
        def helper(x, y=1):
            return x + y + SCALE
        @functools.wraps(helper)
        @wrap
        def train(rows, n=3):
            part = functools.partial(helper, y=n)
            return Model().fit(part(1)), clean(rows), Frame(1), pkg.mod.f(), shared(), TABLE, j.dumps(1)
        plain = functools.partial(helper, y=5)
        def step(rows, n=3):
            return Model().fit(plain(n)), clean(rows), Frame(1), pkg.mod.f(), shared(), TABLE, j.dumps(wrap)
    """,
    "features.py": """
        from dataclasses import dataclass
        from deep import lower
        LIMIT = 10
        @dataclass
        class Frame:
            size: int
            name: str = ""
        def clean(rows):
            return [lower(row) for row in rows][:LIMIT]
        def other():
            return 1
        if LIMIT > 5:
            def late(): return 1
        print("loaded")
    """,
    "deep.py": "def lower(x):\n    return x\nSIZES = {'a': 1}\nSIZES['b'] = 2\n",
    "pkg/__init__.py": "from .inner import shared\n",
    "pkg/inner.py": "def shared():\n    return 1\n",
    "pkg/mod.py": "def f():\n    return 1\n",
    "data.csv": "a,b\n",
}

EDITS: dict[str, tuple[str, str, str, list[str]]] = {
    "own function": (
        "dag.py",
        "j.dumps(wrap)",
        "j.dumps(1)",
        ["the step's function `step` changed"],
    ),
    "own default": (
        "dag.py",
        "def step(rows, n=3)",
        "def step(rows, n=4)",
        ["the step's function `step` changed"],
    ),
    "helper": ("dag.py", "x + y + SCALE", "x - y + SCALE", ["helper `helper` changed"]),
    "helper's default": ("dag.py", "helper(x, y=1)", "helper(x, y=2)", ["helper `helper` changed"]),
    "constant": ("dag.py", "SCALE = 2", "SCALE = 3", ["constant `SCALE` changed"]),
    "mutable constant": ("dag.py", '{"a": 1}', '{"a": 2}', ["constant `TABLE` changed"]),
    "class attribute of a base": ("dag.py", "rate = 1", "rate = 2", ["class `Base` changed"]),
    "method": ("dag.py", "x * self.rate", "x + self.rate", ["class `Model` changed"]),
    "decorator's body": ("dag.py", "fn(*a, **k)", "fn(*a)", ["helper `wrap` changed"]),
    "partial": ("dag.py", "y=5", "y=6", ["constant `plain` changed"]),
    "import": ("dag.py", "import json as j", "import decimal as j", ["import `j` changed"]),
    "helper of a module": ("features.py", "lower(row)", "row", ["helper `clean` in features.py changed"]),
    "unreached, but shipped": (
        "features.py",
        "return 1\nif",
        "return 2\nif",
        ["helper `other` in features.py changed"],
    ),
    "constant of a module": (
        "features.py",
        "LIMIT = 10",
        "LIMIT = 11",
        ["constant `LIMIT` in features.py changed"],
    ),
    "dataclass fields": (
        "features.py",
        'name: str = ""',
        'name: str = "x"',
        ["class `Frame` in features.py changed"],
    ),
    "conditional definition": (
        "features.py",
        "late(): return 1",
        "late(): return 2",
        ["helper `late` in features.py changed"],
    ),
    "statement": ("features.py", '"loaded"', '"there"', ["other statements in features.py changed"]),
    "import of an import": (
        "deep.py",
        "return x\n",
        "return x.lower()\n",
        ["helper `lower` in deep.py changed"],
    ),
    "item set at import": ("deep.py", "= 2", "= 3", ["constant `SIZES` in deep.py changed"]),
    "new helper": (
        "deep.py",
        "SIZES = {",
        "def new(): pass\nSIZES = {",
        ["helper `new` in deep.py is new"],
    ),
    "helper gone": (
        "features.py",
        "def other():\n    return 1\n",
        "",
        ["helper `other` in features.py is gone"],
    ),
    "renamed": (
        "features.py",
        "def other",
        "def another",
        ["helper `another` in features.py is new", "helper `other` in features.py is gone"],
    ),
    "through a package": ("pkg/mod.py", "return 1", "return 2", ["helper `f` in pkg/mod.py changed"]),
    "re-export": ("pkg/inner.py", "return 1", "return 2", ["helper `shared` in pkg/inner.py changed"]),
    "package": (
        "pkg/__init__.py",
        "from .inner import shared\n",
        "from .inner import shared\nX = 1\n",
        ["constant `X` in pkg/__init__.py is new"],
    ),
    "new module": (
        "deep.py",
        "def lower",
        "import newer\ndef lower",
        ["module `newer.py` is new", "import `newer` in deep.py is new"],
    ),
    "data file": ("data.csv", "a,b", "a,c", ["file `data.csv` changed"]),
    "order of statements": (
        "deep.py",
        "def lower(x):\n    return x\nSIZES = {'a': 1}\nSIZES['b'] = 2\n",
        "SIZES = {'a': 1}\nSIZES['b'] = 2\ndef lower(x):\n    return x\n",
        ["order of statements in deep.py changed"],
    ),
}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path / "project") as made:
        yield made


def sliced(here: Project, edit: tuple[str, str, str] | None = None) -> dict[str, Any]:
    """The record of a step in the project, edited."""
    import textwrap

    texts = {name: textwrap.dedent(text).lstrip("\n") for name, text in PROJECT.items()}
    if edit is not None:
        name, old, new = edit
        assert old in texts[name]
        texts[name] = texts[name].replace(old, new, 1)
    here.write({"newer.py": "Y = 1\n", **texts})
    piece = here.slice("step", files=["data.csv"])
    made = build_key(
        step="d.t",
        interface="",
        inputs={"rows": artifact("ab" * 32)},
        code=piece.digest,
        parts=piece.parts,
        requires={},
    )
    return dict(made.record)


@pytest.mark.parametrize("name", EDITS)
def test_every_kind_of_edit_is_named(name: str, here: Project) -> None:
    file, old, new, expected = EDITS[name]
    before, after = sliced(here), sliced(here, (file, old, new))
    assert [one.text() for one in differences(before, after)] == expected
    assert why(before, after) == f"missed: {'; '.join(expected)}; input `rows` equal"


def test_the_line_of_the_log(here: Project) -> None:
    before, after = sliced(here), sliced(here, EDITS["helper of a module"][:3])
    assert why(before, after) == "missed: helper `clean` in features.py changed; input `rows` equal"


def test_parts_have_kinds_and_names(here: Project) -> None:
    shown = {row.field: row.value for row in part_rows(sliced(here))}
    assert shown["features.py:clean"] == "helper"
    assert shown["features.py:Frame"] == "class"
    assert shown["features.py"] == "module"
    assert shown["step"] == "function"
    assert shown["SCALE"] == "constant"
    assert shown["file:data.csv"] == "file"


def test_a_step_of_a_module_is_the_steps_own_function(here: Project) -> None:
    here.write({"dag.py": "from features import clean\n", "features.py": "def clean(x): return x\n"})
    before = here.slice("clean")
    here.write({"features.py": "def clean(x): return [x]\n"})
    after = here.slice("clean")
    (found,) = code_differences({"parts": before.parts}, {"parts": after.parts})
    assert found.text() == "the step's function `clean` in features.py changed"


STEP = "def step(): return big.f1(), small0.f(), small1.f(), small2.f()\n"


def test_a_large_project_names_its_modules_only(here: Project) -> None:
    many = "\n".join(f"def f{n}(): return {n}" for n in range(1200))
    texts = {"dag.py": "import big\ndef step(): return big.f1()\n", "big.py": many}
    before = here.slice("step", texts)
    assert len(before.parts) < 10
    after = here.slice("step", {**texts, "big.py": many.replace("return 7\n", "return 8\n")})
    (found,) = code_differences({"parts": before.parts}, {"parts": after.parts})
    assert found.text() == "module `big.py` changed"
    small = {f"small{n}.py": "def f(): return 1\n" for n in range(3)}
    names = ", ".join(name.removesuffix(".py") for name in small)
    piece = here.slice("step", {**texts, **small, "dag.py": f"import big, {names}\n{STEP}"})
    assert {f"{name}:f" for name in small} <= piece.parts.keys()
    assert "big.py:f1" not in piece.parts


FIELDS = {
    "step": "step changed (d.t → d.u)",
    "interface": "interface changed",
    "input": "input `a` changed (1 → 2)",
    "input type": "input `a` changed (1 → 1.0)",
    "artifact": "input `b` changed (artifact abababababab → artifact cdcdcdcdcdcd)",
    "code": "code changed",
    "requires": "package `numpy` changed (2.0 → 2.1)",
    "image": "image changed (empty → sha256:1)",
    "environment": "environment `MODE` changed (fast → slow)",
    "salt": "salt changed (empty → s)",
    "pinned": "cache_version is new (1)",
    "context": "context `ds` changed ('2024-01-01' → '2024-01-02')",
    "variable": "Variable `threshold` changed",
}


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_named(name: str) -> None:
    (found,) = differences(key().record, key(**CASES[name]).record)
    assert found.text() == FIELDS[name]


def test_other_fields_are_named() -> None:
    def texts(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
        return [one.text() for one in differences(key(**old).record, key(**new).record)]

    a, b = Inline("json", 1), Inline("json", 2)
    assert texts({"version": "1"}, {"version": "2"}) == ["cache_version changed (1 → 2)"]
    assert texts({"version": "1"}, {}) == ["cache_version is gone (1)"]
    assert texts({"inputs": {"x": a}}, {"inputs": {"x": a, "y": b}}) == ["input `y` is new (2)"]
    assert texts({"inputs": {"x": a, "y": b}}, {"inputs": {"x": a}}) == ["input `y` is gone (2)"]
    both = {"inputs": {"x": a, "y": b}}
    assert texts(both, {**both, "ignore": ("y",)}) == ["input `y` no longer counts"]
    assert texts({**both, "ignore": ("y",)}, both) == ["input `y` counts now"]
    assert texts({"inputs": {"captured:n": a}}, {"inputs": {"captured:n": b}}) == [
        "captured value `n` changed (1 → 2)"
    ]
    assert texts({"inputs": {"p:content": a}}, {"inputs": {"p:content": b}}) == [
        "content at input `p` changed (1 → 2)"
    ]
    pull = "xcom_pull(extract|return_value|True)"
    assert texts({"context": {pull: a}}, {"context": {pull: b}}) == ["XCom of `extract` changed (1 → 2)"]


def test_a_pin_hides_code_from_the_key_not_from_people() -> None:
    old = key(version="1", parts={"helper": "function 11"}).record
    new = key(version="1", parts={"helper": "function 22"}, code="c1" * 32, requires={}).record
    assert differences(old, new) == ()
    assert [one.text() for one in code_differences(old, new)] == ["helper `helper` changed"]


def test_another_schema_says_so() -> None:
    old = {**key().record, "schema": "stepbridge.key/0"}
    (found,) = differences(old, key().record)
    assert found == Difference(Kind.SCHEMA, Change.CHANGED, old="stepbridge.key/0", new=SCHEMA)
    assert "stepbridge.key/0" in why(old, key().record)
    assert key_of(old) == ""


def test_records_without_kinds_are_read() -> None:
    old = key(parts={"helper": "11" * 32, "common.py": "22" * 32}).record
    new = key(
        parts={"helper": "function " + "11" * 32, "common.py": "module " + "33" * 32}, code="cc" * 32
    ).record
    assert [one.text() for one in differences(old, new)] == ["module `common.py` changed"]


def test_many_changes_stay_one_bounded_line() -> None:
    old = {f"input_{'x' * 60}_{n}": Inline("json", "a" * 90 + str(n)) for n in range(9)}
    new = {name: Inline("json", f"b{value.data}") for name, value in old.items()}
    same = {f"same{n}": Inline("json", n) for n in range(9)}
    text = why(key(inputs={**old, **same}).record, key(inputs={**new, **same}).record)
    assert len(text) <= 300
    assert "and 6 more" in text
    assert "code and inputs `same0`, `same1`, `same2` and 6 more equal" in text
    assert "\n" not in why(key().record, key(salt="a\nb").record)


def test_equal_fields_and_rows() -> None:
    found = key().record
    assert {row.field for row in equal_fields(found, found)} == set(found["fields"])
    assert all(len(row.digest) == 12 for row in rows(found))
    assert next(row for row in rows(found) if row.field == "variable:threshold").value == "(not shown)"
    assert key_of(found) == key().digest


# -- properties

NAMES = st.text("abcdef_", min_size=1, max_size=6)
VALUES = st.one_of(st.integers(), st.text(max_size=8), st.booleans())
DIGESTS = st.text("0123456789abcdef", min_size=8, max_size=8)


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    definitions = draw(st.dictionaries(NAMES, DIGESTS, max_size=3))
    return {
        "inputs": {
            name: Inline("json", value) for name, value in draw(st.dictionaries(NAMES, VALUES)).items()
        },
        "requires": draw(st.dictionaries(NAMES, st.text("0123.", max_size=5), max_size=3)),
        "environment": draw(st.dictionaries(NAMES, st.text(max_size=5), max_size=3)),
        "variables": draw(st.dictionaries(NAMES, st.text(max_size=5), max_size=3)),
        "context": {
            name: Inline("json", value) for name, value in draw(st.dictionaries(NAMES, VALUES)).items()
        },
        "salt": draw(st.text(max_size=4)),
        "image": draw(st.text(max_size=4)),
        "version": draw(st.sampled_from(["", "", "1"])),
        "parts": {
            **{name: f"function {digest}" for name, digest in draw(st.dictionaries(NAMES, DIGESTS)).items()},
            "mod.py": f"module {draw(DIGESTS)}",
            **{f"mod.py:{name}": f"class {digest}" for name, digest in definitions.items()},
        },
    }


@given(calls())
def test_nothing_differs_from_itself(call: dict[str, Any]) -> None:
    found = key(**call).record
    assert differences(found, copy.deepcopy(found)) == ()
    assert key_of(found) == key(**call).digest


GROUPS = {
    "inputs": Kind.INPUT,
    "requires": Kind.PACKAGE,
    "environment": Kind.ENVIRONMENT,
    "variables": Kind.VARIABLE,
    "context": Kind.CONTEXT,
}


@settings(max_examples=300)
@given(calls(), st.data())
def test_one_change_is_told_and_only_it(call: dict[str, Any], data: st.DataObject) -> None:
    edited = copy.deepcopy(call)
    what = data.draw(st.sampled_from([*GROUPS, "salt", "image", "parts", "definition", "pin"]))
    how = data.draw(st.sampled_from(list(Change)[:3]))
    if what == "pin":
        edited["version"] = "1" if not call["version"] else "2"
        expected = Kind.PIN, Change.ADDED if not call["version"] else Change.CHANGED, ""
    elif what in ("salt", "image"):
        edited[what] += "x"
        expected = Kind(what), Change.CHANGED, ""
    elif what in ("parts", "definition"):
        name = "own" if what == "parts" else "mod.py:own"
        call["parts"][name] = edited["parts"][name] = "function 00"
        call["version"] = edited["version"] = ""
        edited["code"] = "c1" * 32
        if how is Change.CHANGED:
            edited["parts"][name] = "function 01"
        else:
            del (call if how is Change.ADDED else edited)["parts"][name]
        if what == "definition":
            call["parts"]["mod.py:z"] = edited["parts"]["mod.py:z"] = "class 00"
            edited["parts"]["mod.py"] = "module other"
        expected = Kind.HELPER, how, "own"
    else:
        kind = GROUPS[what]
        plain = kind in {Kind.PACKAGE, Kind.ENVIRONMENT, Kind.VARIABLE}
        if kind is Kind.PACKAGE:
            call["version"] = edited["version"] = ""
        one, other = ("1", "2") if plain else (Inline("json", "one"), Inline("json", "other"))
        call[what]["own"], edited[what]["own"] = one, other
        if how is not Change.CHANGED:
            del (call if how is Change.ADDED else edited)[what]["own"]
        expected = kind, how, "own"
    (found,) = differences(key(**call).record, key(**edited).record)
    assert (found.kind, found.change, found.name) == expected
    assert key(**call).digest != key(**edited).digest
    assert found.text() in why(key(**call).record, key(**edited).record)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.just("\ud800")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
)
FOREIGN = st.fixed_dictionaries(
    {},
    optional={
        "schema": st.one_of(st.just(SCHEMA), JSON),
        "fields": st.one_of(
            JSON, st.dictionaries(st.sampled_from(["code", "step", "input:a", "x:", ":"]), JSON)
        ),
        "parts": st.one_of(JSON, st.dictionaries(st.sampled_from(["a.py", "a.py:b", "", ":"]), JSON)),
        "ignored": JSON,
        "code": JSON,
    },
)


@given(FOREIGN, st.one_of(FOREIGN, st.just(key().record)))
def test_foreign_records_break_nothing(old: dict[str, Any], new: dict[str, Any]) -> None:
    for one, other in ((old, new), (new, old)):
        assert differences(one, one) == ()
        text = why(one, other)
        text.encode()
        assert text.startswith("missed: ")
        assert len(text) <= 300
        rows(one), part_rows(one), key_of(one), code_differences(one, other), equal_fields(one, other)


# -- at a miss


class Counted:
    """A store that counts what is asked of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name in {"get", "head", "list", "read"}:
            self.calls.append(name)
        return getattr(self._store, name)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(StoreSettings((tmp_path / "store").as_uri()))


def recorded(store: Store, run: str = "r", **changes: Any) -> CacheTarget:
    """An entry as the runner leaves it."""
    made = key(**changes)
    target = CacheTarget("d.t", made.digest, made.record)
    source = Attempt("d", run, "t", 3).prefix
    entry = CacheEntry(
        "d.t", made.digest, Inline("json", 1), {}, made.record, source, "2026-01-31T10:00:00+00:00", "n"
    )
    store.put(target.path, documents.dump(entry))
    store.put(target.latest_path, documents.dump(entry))
    return target


def test_the_first_run(store: Store) -> None:
    made = key()
    assert (
        explain_miss(store, CacheTarget("d.t", made.digest, made.record)) == "missed: first run of this step"
    )


def test_a_miss_is_explained_by_one_request(store: Store) -> None:
    recorded(store, "monday")
    made = key(salt="x")
    target = CacheTarget("d.t", made.digest, made.record)
    counted = Counted(store)
    missed = look_up(store, target)
    assert isinstance(missed, Miss)
    assert explain_miss(counted, target, missed) == (  # type: ignore[arg-type]
        "missed: salt changed (empty → x); code and inputs `a` and `b` equal "
        "(against d/monday/t, map index 3, 2026-01-31 10:00:00 UTC)"
    )
    assert counted.calls == ["get"]


def test_an_entry_that_is_gone(store: Store) -> None:
    target = recorded(store)
    store.delete(target.path)
    assert explain_miss(store, target) == (
        "missed: the entry of this key, by d/r/t, map index 3, 2026-01-31 10:00:00 UTC, is gone"
    )


def test_a_dead_entry_names_artifact_and_date(store: Store) -> None:
    target = recorded(store)
    entry = documents.load(CacheEntry, store.get(target.path), place="")
    gone = Stored(artifact("ab" * 32, f"{store.root}/artifacts/ab/{'ab' * 32}/m.bin").artifact)
    changed = documents.to_json(entry) | {"output": documents.to_json(gone), "check": ""}
    store.put(target.path, documents.dump(changed))
    missed = look_up(store, target)
    assert isinstance(missed, Miss)
    text = explain_miss(store, target, missed)
    assert "ab" * 32 in text
    assert text.endswith("the entry is by d/r/t, map index 3, 2026-01-31 10:00:00 UTC")


@pytest.mark.parametrize("text", [b"", b"{}", b"nonsense", b'{"schema": 99}', b"[" * 99999])
def test_a_newest_record_that_cannot_be_read(store: Store, text: bytes) -> None:
    target = CacheTarget("d.t", key().digest, key().record)
    store.put(target.latest_path, text)
    found = explain_miss(store, target)
    assert found.startswith("missed: no run with this key is recorded; what changed is not known")


def test_a_store_that_does_not_answer(aws_environment: None) -> None:
    store = open_store(StoreSettings("s3://bucket/p", endpoint="http://127.0.0.1:9", region="us-east-1"))
    target = CacheTarget("d.t", key().digest, key().record)
    assert explain_miss(store, target, look_up(store, target)).startswith("missed: the look-up failed")  # type: ignore[arg-type]
    assert "what changed is not known" in explain_miss(store, target)


@pytest.mark.parametrize("created", ["", "soon", "0001-01-01T00:00:00+23:59", "2026-01-31T10:00:00"])
@pytest.mark.parametrize("source", ["", "elsewhere", "\ud800\n", "runs/a/b/c/x/y/"])
def test_an_odd_entry_is_still_described(store: Store, created: str, source: str) -> None:
    target = recorded(store)
    entry = documents.load(CacheEntry, store.get(target.path), place="")
    store.put(target.latest_path, documents.dump(replace(entry, created=created, source=source, record={})))
    found = explain_miss(store, CacheTarget("d.t", "ab" * 32, key().record))
    assert "against" in found
    assert found.isprintable()
    found.encode()


# -- the newest record


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(StoreSettings((tmp_path / "store").as_uri()), tmp_path / "scratch")


def test_the_runner_keeps_the_newest_record(harness: Harness) -> None:
    first = CacheTarget("dag.task", "ab" * 32, {"schema": "1"})
    second = CacheTarget("dag.task", "cd" * 32, {"schema": "2"})
    for target in (first, second, first):
        ran = harness.run(harness.request("makes_file", "x", cache=target))
        assert ran.status == 0, ran.lines
        latest = documents.load(CacheEntry, harness.store.get(target.latest_path), place="")
        assert (latest.key, latest.record, latest.source) == (target.key, target.record, ran.attempt.prefix)
    entries = [info.key.rpartition("/")[2] for info in harness.store.list("cache/")]
    assert entries == [f"{'ab' * 32}.json", f"{'cd' * 32}.json", "latest.json"]


def test_the_newest_record_is_no_condition_of_success(harness: Harness, tmp_path: Path) -> None:
    target = CacheTarget("dag.task", "ab" * 32)
    (tmp_path / "store" / target.latest_path / "in the way").mkdir(parents=True)
    ran = harness.run(harness.request("makes_file", "x", cache=target))
    assert ran.status == 0
    assert "will not say what changed" in ran.lines
    assert documents.load(CacheEntry, harness.store.get(target.path), place="").source == ran.attempt.prefix


def test_the_codes_are_there() -> None:
    assert {"SB602", "SB603", "SB604"} <= CODES.keys()
