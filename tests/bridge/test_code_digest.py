"""The digest changes when, and only when, something that the function reaches changes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from code_project import LIBRARY, Project, project
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepbridge.code.bundle import build

BASE = '''
import math
import json as j
from os.path import join, basename
LIMIT = 10
CONFIG = {"a": 1}
CONFIG["b"] = LIMIT
OTHER = [1]
def helper(x, y=1):
    """Says something."""
    return math.floor(x) + CONFIG["b"] + y
def stranger():
    return OTHER
class Model:
    """A model."""
    rate = 0.1
    def fit(self, x):
        return helper(x) * self.rate
def wrap(fn):
    return fn
@wrap
def train(n: int = 3, *, scale=2):
    """Trains."""
    text = f"{n!r:>{scale}} {'a'}"
    return Model().fit(n), join("a", text), "it's", [x for x in (1, 2)]
'''

SAME = {
    "comment": ("LIMIT = 10", "# why\nLIMIT = 10  # because"),
    "formatting": (
        "return helper(x) * self.rate",
        "return (\n            helper( x )*self . rate\n        )",
    ),
    "quotes": ('CONFIG["b"]', "CONFIG['b']"),
    "other quotes": ("f\"{n!r:>{scale}} {'a'}\"", "f'''{n!r:>{scale}} {\"a\"}'''"),
    "implicit joining": ('join("a", text)', 'join("" "a", text)'),
    "docstring": ('"""Trains."""', '"""Trains\n    well."""'),
    "no docstring": ('    """Says something."""\n', ""),
    "class docstring": ('"""A model."""', "'''Another.'''"),
    "unreached function": ("return OTHER", "return OTHER * 2"),
    "unreached constant": ("OTHER = [1]", "OTHER = [1, 2]"),
    "unreached import": ("import json as j\n", ""),
    "unreached name of an import": ("join, basename", "join, dirname"),
    "order": ("import math\nimport json as j\n", "import json as j\nimport math\n"),
    "order of definitions": ("LIMIT = 10\n", ""),
    "number spelling": ("rate = 0.1", "rate = 1e-1"),
    "blank lines": ("class Model", "\n\n\nclass Model"),
    "rest of the file": (
        "OTHER = [1]",
        "OTHER = [1]\nimport os\nos.getcwd()\nfor q in range(3):\n    NEW = q",
    ),
    "redundant parentheses": ("math.floor(x) + ", "(math.floor(x)) + "),
}

CHANGED = {
    "constant in the body": ("it's", "it is"),
    "default": ("n: int = 3", "n: int = 4"),
    "keyword default": ("scale=2", "scale=3"),
    "annotation": ("n: int", "n: float"),
    "helper": ("+ y", "- y"),
    "helper's default": ("y=1", "y=2"),
    "module constant": ("LIMIT = 10", "LIMIT = 11"),
    "constant's type": ("LIMIT = 10", "LIMIT = 10.0"),
    "mutation": ('CONFIG["b"] = LIMIT', 'CONFIG["b"] = LIMIT + 1'),
    "another mutation": ("OTHER = [1]", "OTHER = [1]\nCONFIG.update(b=3)"),
    "mutation in a loop": ("OTHER = [1]", "OTHER = [1]\nfor q in (1, 2):\n    CONFIG['b'] += q"),
    "class attribute": ("rate = 0.1", "rate = 0.2"),
    "method": ("helper(x) * self.rate", "helper(x) + self.rate"),
    "decorator": ("    return fn\n", "    return lambda *a: fn(*a)\n"),
    "decorator removed": ("@wrap\n", ""),
    "other import": ("import math", "import cmath as math"),
    "f-string format": ("!r:>", "!r:<"),
    "f-string conversion": ("{n!r:", "{n!s:"),
    "f-string text": ("} {'a'}", "}  {'a'}"),
    "comprehension": ("x for x in (1, 2)", "x for x in (2, 1)"),
    "override after": ("OTHER = [1]", "OTHER = [1]\nLIMIT = 12"),
    "definition after": ("OTHER = [1]", "OTHER = [1]\nif OTHER:\n    def helper(x): return x"),
    "deletion": ("OTHER = [1]", "OTHER = [1]\ndel CONFIG['a']"),
    "order that matters": ('CONFIG["b"] = LIMIT\n', "CONFIG['b'] = LIMIT\nCONFIG = {'a': 1}\n"),
    "walrus": ("OTHER = [1]", "OTHER = [(LIMIT := 5)]"),
}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Project]:
    with project(tmp_path) as made:
        yield made


def swapped(base: str, edit: tuple[str, str]) -> str:
    assert edit[0] in base
    text = base.replace(edit[0], edit[1], 1)
    if edit == ("LIMIT = 10\n", ""):
        text = text.replace("CONFIG = {", "LIMIT = 10\nCONFIG = {")
        text = text.replace("def wrap", "def later(): pass\ndef wrap")
    return text


@pytest.mark.parametrize("name", SAME)
def test_same(name: str, here: Project) -> None:
    before = here.slice("train", {"dag.py": BASE})
    after = here.slice("train", {"dag.py": swapped(BASE, SAME[name])})
    assert after.parts == before.parts
    assert after.digest == before.digest


@pytest.mark.parametrize("name", CHANGED)
def test_changed(name: str, here: Project) -> None:
    before = here.slice("train", {"dag.py": BASE})
    after = here.slice("train", {"dag.py": swapped(BASE, CHANGED[name])})
    assert after.digest != before.digest


def test_parts_say_what_changed(here: Project) -> None:
    before = here.slice("train", {"dag.py": BASE}).parts
    after = here.slice("train", {"dag.py": BASE.replace("+ y", "- y")}).parts
    assert {name for name in before if before[name] != after[name]} == {"helper"}
    assert {"train", "Model", "helper", "CONFIG", "LIMIT", "math", "join", "wrap"} == set(before)


def test_docstrings_count_where_they_are_read(here: Project) -> None:
    text = "def train():\n    '''one'''\n    return train.__doc__\n"
    before = here.slice("train", {"dag.py": text})
    assert here.slice("train", {"dag.py": text.replace("one", "two")}).digest != before.digest


def test_order_at_run_time_counts(here: Project) -> None:
    text = "A = 1\nB = A\nA = 2\ndef get(): return A\nC = get()\nA = 3\ndef train(): return A, B, C\n"
    before = here.slice("train", {"dag.py": text})
    moved = "A = 1\nA = 2\nB = A\ndef get(): return A\nC = get()\nA = 3\ndef train(): return A, B, C\n"
    late = "A = 1\nB = A\nA = 2\ndef get(): return A\nA = 3\nC = get()\ndef train(): return A, B, C\n"
    harmless = "def train(): return A, B, C\ndef get(): return A\nA = 1\nB = A\nA = 2\nC = get()\nA = 3\n"
    assert here.slice("train", {"dag.py": moved}).digest != before.digest
    assert here.slice("train", {"dag.py": late}).digest != before.digest
    assert here.slice("train", {"dag.py": harmless}).digest == before.digest


def test_captured_values_are_inputs_not_code(here: Project) -> None:
    text = "def make(n):\n    def f(): return n\n    return f\nfs = [make(1), make(2)]\n"
    one, two = here.slice("fs[0]", {"dag.py": text}), here.slice("fs[1]")
    assert one.digest == two.digest
    assert (one.captured, two.captured) == ({"n": 1}, {"n": 2})
    assert here.slice("fs[0]", {"dag.py": text.replace("return n", "return -n")}).digest != one.digest


def test_file_name_and_place_do_not_count(here: Project, tmp_path: Path) -> None:
    before = here.slice("train", {"dag.py": BASE})
    with project(tmp_path / "else where") as other:
        assert other.slice("train", {"dag.py": BASE}).digest == before.digest


def test_same_source_gives_the_same_bytes(here: Project) -> None:
    files = {
        "dag.py": "import b, a\ndef train(): return a.x + b.x\n",
        "a.py": "x = 1\n",
        "b.py": "import a\nx = 2\n",
    }
    first = build(here.slice("train", files))
    (here.root / "a.py").touch()
    assert build(here.slice("train")) == first


VERSIONS = r"""
import re, asyncio
from dataclasses import dataclass
Q = {"a": 1, 'b': 0x10, "c": 1_000, "d": 1e400, "e": -1e-9, "f": 3j, "g": b"\xff'", "h": ..., "i": None}
TEXT = f"{Q['a']!r:>{10}} {{}} {1 if Q else 2} {'x' 'y'}" "tail" f"{Q}" r"\d" f'{"nested"}' '''a
'b' "c" '''
EQUALS = f"{Q = } {Q['a']=!s:^{5}} {3.5:0.{2}f} {'é'} \N{BULLET}"
NESTED = f"{f'{1}' + '2'}{{{Q}}}{'{'}"
SPACED = f"{ Q ['a'] }{  'z'  }"
@dataclass(frozen=True)
class P:
    x: int = 1
    y: "str" = ""
    def __matmul__(self, other): return self @ other if not (self is other) else (yield)
async def agen(*args: int, key=lambda *a, k=1, **kw: (a, k), **kwargs: object) -> list[int]:
    async with asyncio.Lock() as lock, asyncio.Lock():
        async for i in agen(*args, **kwargs):
            yield await asyncio.sleep(0, i)
    return
def train(a, /, b, *, c=(1,), d=()):
    global G
    G = [*a, *b]; x, *y = {**c}, b[1:2, ..., ::3]; z = b[*a]
    match a:
        case {"k": [1, *rest], **more} if rest: return more
        case P(x=0, y=_): return 1
        case (1 | 2) as num: pass
        case -1 | 1+2j | None | True: pass
    try: raise ValueError from None
    except* (TypeError, KeyError) as group: del group
    for i, (j, k) in enumerate(zip(a, b)): continue
    else: print(f"{i}", not a < b <= 1 != 2, end="\u1c8a\U0001fae9")
    while (n := len(a)) > 1: a = a[n:]
    with (open("a") as f, open("b")): pass
    assert a, "message"
    x: int
    x = y = lambda: (yield)
    z = {1, 2}, {k: v for k, v in Q.items() if k if v}, (yield from a), re
    return Q, TEXT, EQUALS, NESTED, SPACED, P, agen, z
"""


def test_equal_on_every_python(tmp_path: Path) -> None:
    """The three minors that are supported, where they are at hand: three processes, one digest."""
    (tmp_path / "dag.py").write_text(VERSIONS, encoding="utf-8")
    script = textwrap.dedent(
        """
        import sys
        sys.path[:0] = sys.argv[1:3]
        from pathlib import Path
        import dag
        from stepbridge.code.slicing import slice_callable
        from stepbridge.code.source import read_source
        from stepbridge.code.normal import module_digest
        piece = slice_callable(dag.train, source_file=Path(dag.__file__))
        print(piece.digest, module_digest(read_source(Path(dag.__file__))), sorted(piece.parts))
        """
    )
    found = {}
    for version in ("3.11", "3.12", "3.13"):
        beside = sorted(Path(sys.base_prefix).parent.glob(f"{version}.*/bin/python"))
        for candidate in (f"python{version}", *beside):
            try:
                done = subprocess.run(
                    [str(candidate), "-I", "-S", "-c", script, str(LIBRARY), str(tmp_path)],
                    capture_output=True,
                    text=True,
                    check=False,
                )
            except FileNotFoundError:
                continue
            assert done.returncode == 0 or "version" in done.stderr, done.stderr
            if done.returncode == 0:
                found[version] = done.stdout
                break
    if len(found) < 2:
        pytest.skip("fewer than two Python versions are at hand")
    assert len(set(found.values())) == 1, found


NAMES = st.sampled_from(["a", "b", "c", "d", "e", "f"])
VALUE = st.integers(0, 99)


@st.composite
def modules(draw: st.DrawFn) -> tuple[list[tuple[str, list[str], int]], str]:
    """Definitions ``(name, names it reads, constant)`` in an order that runs, and the name of the entry."""
    count = draw(st.integers(2, 6))
    made: list[tuple[str, list[str], int]] = []
    for index in range(count):
        known = [name for name, _, _ in made]
        reads = draw(st.lists(st.sampled_from(known), max_size=2, unique=True)) if known else []
        made.append((f"n{index}", reads, draw(VALUE)))
    return made, f"n{draw(st.integers(0, count - 1))}"


def reached(made: list[tuple[str, list[str], int]], entry: str) -> set[str]:
    table = {name: reads for name, reads, _ in made}
    found, pending = set(), [entry]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += table[name]
    return found


def written(made: list[tuple[str, list[str], int]], kinds: dict[str, int]) -> str:
    lines = []
    for name, reads, value in made:
        total = " + ".join([*(f"{item}()" for item in reads), str(value)])
        match kinds.get(name, 0):
            case 0:
                lines.append(f"def {name}(): return {total}")
            case 1:
                lines.append(f"{name} = lambda: {total}")
            case 2:
                lines.append(
                    f"V{name} = {{}}\nV{name}['k'] = {value}\n"
                    f"def {name}():\n    return {total} + V{name}['k']"
                )
            case _:
                lines.append(
                    f"if True:\n    class C{name}:\n        v = {value}\n"
                    f"    def {name}(): return {total} + C{name}.v"
                )
    return "\n".join(lines) + "\n"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(modules(), st.data())
def test_edits(
    here: Project, module: tuple[list[tuple[str, list[str], int]], str], data: st.DataObject
) -> None:
    """An edit of what is reached changes the digest; an edit of anything else does not."""
    made, entry = module
    kinds = {name: data.draw(st.integers(0, 3), label=name) for name, _, _ in made}
    before = here.slice(entry, {"dag.py": written(made, kinds)})
    index = data.draw(st.integers(0, len(made) - 1), label="edited")
    name, reads, value = made[index]
    edited = [*made[:index], (name, reads, value + 100), *made[index + 1 :]]
    after = here.slice(entry, {"dag.py": written(edited, kinds)})
    assert (after.digest != before.digest) == (name in reached(made, entry))
    assert here.slice(entry).digest == after.digest


def test_captured_references_count(here: Project) -> None:
    text = "import math\ndef make(fn):\n    def f(): return fn(1)\n    return f\n"
    text += "fs = [make(math.floor), make(math.ceil)]\n"
    assert here.slice("fs[0]", {"dag.py": text}).digest != here.slice("fs[1]").digest


def test_single_dispatch(here: Project) -> None:
    text = """
    import functools
    @functools.singledispatch
    def size(x): return 0
    @size.register(int)
    def _(x): return 1
    @size.register
    def _(x: str): return 2
    @functools.cache
    def stranger(): return 3
    def train(): return size(1), size("")
    """
    before = here.slice("train", {"dag.py": text})
    assert here.slice("train", {"dag.py": text.replace("return 2", "return 4")}).digest != before.digest
    assert here.slice("train", {"dag.py": text.replace("return 3", "return 4")}).digest == before.digest


def test_settings_of_reached_packages_and_of_the_environment_count(here: Project) -> None:
    text = "import os, xml, json\nfrom xml.dom import minidom\n"
    text += "os.environ['A'] = '1'\nxml.flag = 1\njson.flag = 1\n"
    text += "def train(): return minidom\n"
    before = here.slice("train", {"dag.py": text})
    for old, new, same in (
        ("'1'", "'2'", False),
        ("xml.flag = 1", "xml.flag = 2", False),
        ("json.flag = 1", "", True),
    ):
        assert (here.slice("train", {"dag.py": text.replace(old, new)}).digest == before.digest) is same
