"""Slices run without the DAG file, and hold what the function reaches and no more."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from code_project import Project, outcome, project, result

from stepbridge.code.slicing import slice_callable
from stepbridge.failures import CodeProblem


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "dags").mkdir()
    with project(tmp_path / "dags") as made:
        yield made


def shipped(piece: object, name: str = "stepbridge_dag_dag.py") -> str:
    return piece.modules[name].decode()  # type: ignore[attr-defined]


CASES = {
    "constants and helpers": (
        """
        import math
        FACTOR = 3
        UNUSED = 1 / 1
        def helper(x):
            return x * FACTOR
        class Model:
            scale = FACTOR
            def fit(self, x):
                return helper(x) + self.scale
        def train(n=2):
            return Model().fit(n) + math.floor(1.5)
        """,
        "train",
        10,
    ),
    "mutated constants": (
        """
        CONFIG = {"a": 1}
        CONFIG["b"] = 2
        ITEMS = []
        ITEMS.append(5)
        ITEMS += [6]
        for name in ("x", "y"):
            CONFIG[name] = len(name)
            OTHER = name
        GONE = 1
        del GONE
        alias = CONFIG
        alias["c"] = 7
        def train():
            return [CONFIG, ITEMS]
        """,
        "train",
        [{"a": 1, "b": 2, "x": 1, "y": 1, "c": 7}, [5, 6]],
    ),
    "loop elements": (
        """
        TABLES = [{"n": 1}, {"n": 2}]
        for t in TABLES:
            t["m"] = t["n"] * 2
        def train():
            return TABLES
        """,
        "train",
        [{"n": 1, "m": 2}, {"n": 2, "m": 4}],
    ),
    "registry by decorator": (
        """
        REGISTRY = {}
        def register(fn):
            REGISTRY[fn.__name__] = fn
            return fn
        @register
        def one():
            return 1
        @register
        def two():
            return 2
        def train():
            return sorted(REGISTRY)
        """,
        "train",
        ["one", "two"],
    ),
    "global statement": (
        """
        STATE = None
        def setup():
            global STATE
            STATE = 4
        setup()
        def train():
            return STATE
        """,
        "train",
        4,
    ),
    "changed by a function that is passed it": (
        """
        LIMITS = {}
        def fill(target):
            target["a"] = 1
        fill(LIMITS)
        print(LIMITS)
        def train():
            return LIMITS
        """,
        "train",
        {"a": 1},
    ),
    "try and import": (
        """
        try:
            import not_there
            HAS = True
        except ImportError:
            HAS = False
        else:
            HAS = "else"
        finally:
            DONE = 1
        def train():
            return [HAS, DONE]
        """,
        "train",
        [False, 1],
    ),
    "conditions": (
        """
        import sys
        if sys.version_info < (3, 0):
            NAME = "old"
        elif sys.version_info < (3, 1):
            NAME = "older"
        else:
            NAME = "new"
        while True:
            COUNT = 1
            break
        with open(__file__) as handle:
            FIRST = handle.read(0)
        def train():
            return NAME + str(COUNT) + FIRST
        """,
        "train",
        "new1",
    ),
    "one-liners and semicolons": (
        """
        A = 1; B = 2; C = 3
        if A: D = 4; E = 5
        T = [
            1,
        ]; U = T + [2]
        def train(): return [A, C, E, U]
        """,
        "train",
        [1, 3, 5, [1, 2]],
    ),
    "walrus, star targets, match, comprehension": (
        """
        FIRST, *REST = [1, 2, 3]
        if (SIZE := 4) > 2: pass
        match SIZE:
            case int(value) if value > 3:
                KIND = "big"
            case _:
                KIND = "small"
        def train():
            return [FIRST, REST, SIZE, KIND, [x + FIRST for x in REST], (lambda y: y + SIZE)(1)]
        """,
        "train",
        [1, [2, 3], 4, "big", [3, 4], 5],
    ),
    "class scope": (
        """
        name = "module"
        def size(x): return len(x)
        class A:
            name = "class"
            other = name
            def get(self): return name
            items = [size(n) for n in ("a", "bb")]
        class B(A):
            pass
        def train():
            return [B().other, B().get(), B.items]
        """,
        "train",
        ["class", "module", [1, 2]],
    ),
    "decorators stay": (
        """
        import functools
        def twice(fn):
            @functools.wraps(fn)
            def wrapper(*a, **k):
                return fn(*a, **k) * 2
            return wrapper
        def plain(fn):
            def wrapper(*a, **k):
                return fn(*a, **k) + 1
            return wrapper
        @twice
        @plain
        def train(n=3):
            return n
        """,
        "train",
        8,
    ),
    "rebound name": (
        """
        def make(n):
            def inner(): return n
            return inner
        train = make(7)
        """,
        "train",
        7,
    ),
    "lambda by name": ("X = 2\ntrain = lambda y=3: y * X\n", "train", 6),
    "lambda in a call": ("X = 2\ntasks = [lambda: 1, (lambda y=4: y * X)]\n", "tasks[1]", 8),
    "lambda in a comprehension": ("tasks = [lambda: n for n in range(3)]\n", "tasks[0]", 2),
    "lambda in a function": (
        """
        def helper(x): return x + 1
        def make(n):
            k = 5
            return [lambda m=2: helper(n) + k + m]
        tasks = make(1)
        """,
        "tasks[0]",
        9,
    ),
    "lambda default in a loop": (
        "tasks = []\nfor i in range(3):\n    tasks.append(lambda i=i: i * 10)\n",
        "tasks[1]",
        10,
    ),
    "closure": (
        """
        OUTER = 1
        def make(n, items):
            import math
            from json import dumps as d
            k = n * 2
            class Local:
                size = k
            def local(x):
                return x + k
            if n:
                def run(extra=n):
                    return [local(n), math.floor(2.5), d(items), Local.size, OUTER, extra]
                return run
        f = [make(3, {"a": [1]})]
        """,
        "f[0]",
        [9, 2, '{"a": [1]}', 6, 1, 3],
    ),
    "closure over project code": (
        """
        import json, math
        def clean(x): return x + 1
        def make(fn, module, builtin, cls):
            def run(): return [fn(1), module.floor(1.5), builtin([1]), cls.__name__]
            return run
        class K: pass
        f = {"a": make(clean, math, len, K)}
        """,
        "f['a']",
        [2, 1, 1, "K"],
    ),
    "nested closures": (
        """
        def outer(a):
            def middle(b):
                def inner(): return a + b
                return inner
            return middle
        f = [outer(1)(2)]
        """,
        "f[0]",
        3,
    ),
    "recursion": (
        """
        def make(k):
            def fact(n=3): return k if n < 2 else n * fact(n - 1)
            return fact
        f = [make(1)]
        """,
        "f[0]",
        6,
    ),
    "default in a loop": (
        """
        tasks = []
        for n in (1, 2, 3):
            def work(x=n, y=1): return [x, y]
            tasks.append(work)
        """,
        "tasks[1]",
        [2, 1],
    ),
    "methods": (
        """
        BASE = 2
        class Jobs:
            @staticmethod
            def plain(x=1): return x + BASE
            @classmethod
            def bound(cls): return cls.__name__ + str(cls.plain())
        class More(Jobs): pass
        """,
        "More.bound",
        "More3",
    ),
    "static method": (
        "BASE = 2\nclass Jobs:\n    @staticmethod\n    def plain(x=1): return x + BASE\n",
        "Jobs.plain",
        3,
    ),
    "partial": (
        "import functools\ndef f(a, b, c=0): return [a, b, c]\n"
        "g = functools.partial(functools.partial(f, 1), 2, c=3)\n",
        "g",
        [1, 2, 3],
    ),
    "conditional definition": (
        """
        import os
        if os.sep == "/":
            def train(): return "posix"
        else:
            def train(): return "other"
        """,
        "train",
        "posix",
    ),
    "definition in an except block": (
        """
        try:
            import nothing_here
        except ImportError:
            def train(): return "fallback"
        """,
        "train",
        "fallback",
    ),
    "future annotations and type checking": (
        """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from nowhere import Thing
        from decimal import Decimal
        def train(x: Thing = None, y: Decimal = 1) -> "Unknown": return y
        """,
        "train",
        1,
    ),
    "main guard": (
        """
        DATA = [1]
        def train(): return DATA
        if __name__ == "__main__":
            DATA.append(2)
            raise SystemExit
        """,
        "train",
        [1],
    ),
    "multi-line texts": (
        '''
        SQL = """
        # not a comment
            SELECT 1; -- "x"
        """
        def train():
            a = f"""{SQL}
        #kept {len(SQL)!r:>3}"""
            return a
        ''',
        "train",
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_runs_alone(name: str, here: Project, tmp_path: Path) -> None:
    text, pick, expected = CASES[name]
    piece = here.slice(pick, {"dag.py": text})
    found = result(piece, tmp_path / "run")
    assert found == json.loads(json.dumps(eval(pick, vars(here.load()))())), shipped(piece)
    assert expected is None or found == expected


def test_text_survives_exactly(here: Project, tmp_path: Path) -> None:
    text = (
        "\ufeff# -*- coding: utf-8 -*-\r\n"
        "\x0c\r\n"
        "UNUSED = 1\r\n"
        "NAME = 'é\u2028\x0b' ; OTHER = 2\r\n"
        "if NAME :  # comment: with colon\r\n"
        "\tTEXT = '''a\r\n  # b\r\n\tc'''\r\n"
        "\r\n"
        "class Box :\r\n"
        "\tdef get ( self ) :\r\n"
        "\t\treturn f'{NAME!r}\\t' \\\r\n"
        "\t\t\t+ TEXT # end\r\n"
        "def train():\r\n"
        "\treturn Box().get(), 1/0\r\n"
    )
    (here.root / "dag.py").write_bytes(text.encode())
    piece = here.slice("train")
    lines = shipped(piece).split("\n")
    assert lines[3] == "NAME = 'é\u2028\x0b'"
    assert lines[14] == "\treturn Box().get(), 1/0"
    assert lines[10:13] == ["\tdef get ( self ) :", "\t\treturn f'{NAME!r}\\t' \\", "\t\t\t+ TEXT"]
    assert outcome(piece, tmp_path / "run")["lines"][-1] == 15
    piece = here.slice("Box")
    assert "TEXT = '''a\n  # b\n\tc'''" in shipped(piece)


def test_latin_1(here: Project, tmp_path: Path) -> None:
    text = "# -*- coding: latin-1 -*-\nimport other\nNAME = 'é'\ndef train(): return NAME + other.NAME\n"
    (here.root / "dag.py").write_bytes(text.encode("latin-1"))
    (here.root / "other.py").write_bytes(b"# coding: latin-1\nNAME = '\xfc'\n")
    piece = here.slice("train")
    assert result(piece, tmp_path / "run") == "éü"
    assert piece.modules["other.py"] == b"# coding: latin-1\nNAME = '\xfc'\n"


def test_lines_of_a_closure_are_true(here: Project, tmp_path: Path) -> None:
    text = """
    def make(n):
        def helper():
            return 1 / n

        def run():
            x = 1
            return helper() + x
        return run
    AFTER = 1
    f = [make(0)]
    """
    piece = here.slice("f[0]", {"dag.py": text})
    assert outcome(piece, tmp_path / "run")["lines"][-2:] == [7, 3]


def test_unreached_is_left_out(here: Project) -> None:
    text = """
    import json, os, sys
    from collections import OrderedDict, defaultdict as dd
    A = 1
    B = os.getcwd()
    def other(): return B
    def train(): return json.dumps(dd(list)), A
    """
    piece = here.slice("train", {"dag.py": text})
    assert [line for line in shipped(piece).splitlines() if line] == [
        "import json",
        "from collections import defaultdict as dd",
        "A = 1",
        "def train(): return json.dumps(dd(list)), A",
    ]


def test_seed_and_configuration_of_a_reached_import_ships(here: Project) -> None:
    text = """
    import random, logging, decimal
    random.seed(3)
    decimal.getcontext().prec = 5
    logging.basicConfig()
    log = logging.getLogger(__name__)
    log.info("parsed")
    def train():
        log.info("x")
        return random.random()
    """
    lines = shipped(here.slice("train", {"dag.py": text})).splitlines()
    assert "random.seed(3)" in lines
    assert "decimal.getcontext().prec = 5" not in lines
    assert 'log.info("parsed")' not in lines


def test_dynamic_names_are_reported(here: Project) -> None:
    text = """
    import importlib, helpers
    name = "x".lower()
    def train():
        importlib.import_module(name)
        eval(name)
        getattr(helpers, name)
        getattr(name, name)
        eval("1")
        return importlib.import_module("loaded.by_name").VALUE
    """
    files = {"dag.py": text, "helpers.py": "x = 1\n", "loaded/by_name.py": "VALUE = 5\n"}
    piece = here.slice("train", files)
    assert [int(place.split(":")[1]) for place in piece.reads.dynamic] == [4, 5, 6]
    assert "loaded/by_name.py" in piece.modules


BAD = {
    "bound method": ("class A:\n    def run(self): return 1\nf = A().run\n", "f", "SB202", ":2"),
    "callable instance": ("class A:\n    def __call__(self): return 1\nf = A()\n", "f", "SB202", ":2"),
    "builtin": ("f = len\n", "print", "SB201", ""),
    "exec": ("exec('def f(): return 1')\n", "f", "SB201", ""),
    "exec'd name": ("exec('X = %d' % 1)\ndef f():\n    return X\n", "f", "SB203", ":3"),
    "unknown name": ("def f():\n    return nothing\n", "f", "SB203", ":2"),
    "globals()": ("globals()['X'.upper()] = 1\ndef f(): return X\n", "f", "SB203", ":2"),
    "open file": (
        "def make(handle):\n    def f(): return handle.name\n    return f\nfs = [make(open(__file__))]\n",
        "fs[0]",
        "SB205",
        ":2",
    ),
    "client": (
        "class C: pass\ndef make():\n    client = C()\n"
        "    def f():\n        return client\n    return f\nfs = [make()]\n",
        "fs[0]",
        "SB205",
        ":5",
    ),
    "used at definition": (
        "def deco(n): return lambda fn: fn\ndef make(k):\n"
        "    @deco(k)\n    def f(): return 1\n    return f\nfs = [make(1)]\n",
        "fs[0]",
        "SB205",
        ":3",
    ),
    "object as default in a loop": (
        "fs = []\nfor o in [object(), object()]:\n    def f(x=o): return x\n    fs.append(f)\n",
        "fs[0]",
        "SB205",
        ":3",
    ),
    "factory that the function uses": (
        "def make(n):\n    def f(): return make(n - 1) if n else 0\n    return f\nfs = [make(2)]\n",
        "fs[0]",
        "SB202",
        ":1",
    ),
    "method of a local class": (
        "def make():\n    class A:\n        @classmethod\n        def run(cls): return 1\n"
        "    return A.run\nf = make()\n",
        "f",
        "SB202",
        ":3",
    ),
    "wrong syntax": ("def f(): return 1\n", "f", "SB201", ":1"),
}


@pytest.mark.parametrize("name", BAD)
def test_refusals_name_the_line_and_the_next_step(name: str, here: Project) -> None:
    text, pick, code, line = BAD[name]
    here.write({"dag.py": text})
    found = eval(pick, vars(here.load()))
    if name == "wrong syntax":
        here.write({"dag.py": "def f(:\n"})
    with pytest.raises(CodeProblem) as caught:
        slice_callable(found, source_file=here.root / "dag.py")
    assert caught.value.code.id == code, caught.value
    assert caught.value.place.endswith(line), caught.value
    assert caught.value.hint


def test_a_changed_file_is_noticed(here: Project) -> None:
    here.write({"dag.py": "def f(): return 1\n"})
    f = here.load().f
    here.write({"dag.py": "\n\nX = 1\ndef f(): return X\n"})
    with pytest.raises(CodeProblem) as caught:
        slice_callable(f, source_file=here.root / "dag.py")
    assert caught.value.code.id == "SB201"


def test_data_files(here: Project, tmp_path: Path) -> None:
    text = """
    from pathlib import Path
    from pkg.inner import text
    def train():
        here = Path(__file__).parent
        return [(here / "sql/a.sql").read_text(), text()]
    """
    inner = "from pathlib import Path\ndef text(): return (Path(__file__).parent / 'data.txt').read_text()\n"
    here.write({"dag.py": text, "pkg/__init__.py": "", "pkg/inner.py": inner})
    here.write({"pkg/data.txt": "D", "sql/a.sql": "S"})
    piece = here.slice("train", files=["sql/*.sql", "pkg/data.txt"])
    assert result(piece, tmp_path / "run") == ["S", "D"]
    here.write({"sql/a.sql": "T"})
    assert here.slice("train", files=["sql/*.sql", "pkg/data.txt"]).digest != piece.digest
    assert sorted(here.slice("train", files=["sql"]).files) == ["pkg/data.txt", "sql/a.sql"]
    for pattern in ("sql/*.txt", "../x", "/etc/passwd"):
        with pytest.raises(CodeProblem) as caught:
            here.slice("train", files=[pattern])
        assert caught.value.code.id == "SB209"


def test_third_party_callable_ships_nothing(tmp_path: Path) -> None:
    piece = slice_callable(pytest.importorskip, source_file=tmp_path / "dag.py")
    assert piece.entry.endswith(":importorskip")
    assert not piece.modules
    assert any(name.startswith("pytest") for name in piece.requires)
    assert slice_callable(textwrap.dedent, source_file=tmp_path / "dag.py").entry == "textwrap:dedent"


def test_partial_arguments_are_exposed(here: Project) -> None:
    text = "from functools import partial\ndef f(a, b=1): return a\n"
    text += "g = partial(f, 1, b=2)\nh = partial(f, 3)\n"
    one, two = here.slice("g", {"dag.py": text}), here.slice("h")
    assert (one.bound_args, one.bound_kwargs) == ((1,), {"b": 2})
    assert one.digest == two.digest


MORE = {
    "no room for the return": (
        "def make(n):\n    def run(): return n + LATER\n    return run\nf = [make(1)]\nLATER = 2\n",
        "f[0]",
        3,
    ),
    "no blank line after the function": (
        "def make(n):\n    def run():\n        return n + LATER\n    f.append(run)\nLATER = 2\nf = []\n"
        "make(1)\n",
        "f[0]",
        3,
    ),
    "static method of a class in a function": (
        "def make(n):\n    class A:\n        k = 2\n        @staticmethod\n"
        "        def run(): return n + A.k\n"
        "    return A.run\nf = [make(1)]\n",
        "f[0]",
        3,
    ),
    "function in a method": (
        "K = 1\nclass Maker:\n    size = 2\n    def make(self, n):\n        def run(): return n + K\n"
        "        return run\nf = [Maker().make(4)]\n",
        "f[0]",
        5,
    ),
    "nonlocal": (
        "def make():\n    count = 3\n    def run():\n        nonlocal count\n        count += 1\n"
        "        return count\n    return run\nf = [make()]\n",
        "f[0]",
        None,
    ),
    "loop variable of an enclosing function": (
        "def make():\n    out = []\n    for n in (1, 2):\n        def run(k=n): return [n, k]\n"
        "        out.append(run)\n    return out\nf = make()\n",
        "f[0]",
        [2, 1],
    ),
    "late loop variable": (
        "f = []\nfor n in (1, 2):\n    def run(): return n\n    f.append(run)\n",
        "f[0]",
        2,
    ),
    "definition in nested blocks": (
        "import os\nif os:\n    try:\n        pass\n    finally:\n        for q in (1,):\n"
        "            def run():\n"
        "                return 1\n            f = [run]\n",
        "f[0]",
        1,
    ),
    "else of a loop": ("for q in ():\n    pass\nelse:\n    def run(): return 1\nf = [run]\n", "f[0]", 1),
    "elif": (
        "A = 2\nif A == 1:\n    def run(): return 1\nelif A == 2:\n    B = 5\n    def run(): return B\n"
        "f = [run]\n",
        "f[0]",
        5,
    ),
    "decorators with comments between": (
        "def deco(*a):\n    return lambda fn: fn\n@deco(  # one @ sign\n    1,\n)\n# @another\n"
        "@ deco ( 2 )\n\n"
        "@(deco\n  (3))\ndef run(): return 1\nf = [run]\n",
        "f[0]",
        1,
    ),
    "backslashes": (
        "A = 1 + \\\n    2; B = 3\nif A \\\n        > 1: C = 4\ndef run(): return A + C\n",
        "run",
        7,
    ),
    "class keyword and metaclass": (
        "class Meta(type):\n    def __new__(m, n, b, d, **k):\n        return super().__new__(m, n, b, d)\n"
        "class A(metaclass=Meta, key=1):\n    x = 1\ndef run(): return A.x\n",
        "run",
        1,
    ),
    "subclass registry": (
        "FOUND = []\nclass Base:\n    def __init_subclass__(cls): FOUND.append(cls.__name__)\n"
        "class One(Base): pass\nclass Two(One): pass\ndef run(): return FOUND\n",
        "run",
        ["One", "Two"],
    ),
    "name that only a handler binds": (
        "try:\n    unicode\nexcept NameError:\n    unicode = str\ndef run(): return unicode(1)\n",
        "run",
        "1",
    ),
    "flag after an import": (
        "import sys\ntry:\n    import decimal as fast\nexcept ImportError as error:\n"
        "    WHY = str(error)\n    raise\n"
        "else:\n    WHY = None\ndef run(): return WHY\n",
        "run",
        None,
    ),
    "walrus in a comprehension": (
        "T = [y := 1, [(z := x) for x in (1, 2)]]\ndef run(): return y + z\n",
        "run",
        3,
    ),
}


@pytest.mark.parametrize("name", MORE)
def test_runs_alone_at_the_edges(name: str, here: Project, tmp_path: Path) -> None:
    text, pick, expected = MORE[name]
    piece = here.slice(pick, {"dag.py": text})
    found = result(piece, tmp_path / "run")
    assert found == json.loads(json.dumps(eval(pick, vars(here.load()))())), shipped(piece)
    assert expected is None or found == expected


def test_odd_file_names(tmp_path: Path) -> None:
    with project(tmp_path) as here:
        here.write({"my-dag.v2.py": "def train(): return 1\n"})
        module = here.load("my-dag.v2.py")
        piece = slice_callable(module.train, source_file=tmp_path / "my-dag.v2.py")
    assert piece.entry == "stepbridge_dag_my_dag_v2:train"
    assert result(piece, tmp_path / "run") == 1


def test_the_last_statement_of_its_function(here: Project, tmp_path: Path) -> None:
    """No line is free for the scope's return: the lines below move by one, those of the function stay."""
    text = """
    from keeping import keep, kept
    def make(n):
        @keep
        def run(d=0):
            return (n + LATER) / d
    LATER = 2
    make(1)
    """
    keeping = "kept = []\ndef keep(fn):\n    kept.append(fn)\n    return fn\n"
    piece = here.slice("kept[0]", {"dag.py": text, "keeping.py": keeping})
    assert result(piece, tmp_path / "1", 1) == 3
    assert outcome(piece, tmp_path / "2")["lines"][-1] == 5
