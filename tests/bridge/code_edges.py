"""Projects whose step reaches ``1111`` in one way each, wherever that may be written."""

# ruff: noqa: E501

from __future__ import annotations

PKG = {"pkg/__init__.py": ""}

ONE_FILE = {
    "the function itself": "def train(): return 1111\n",
    "helper": "def helper(): return 1111\ndef train(): return helper()\n",
    "helper of a helper": "def a(): return 1111\ndef b(): return a()\ndef train(): return b()\n",
    "constant": "X = 1111\ndef train(): return X\n",
    "annotated constant": "X: int = 1111\ndef train(): return X\n",
    "constant of a constant": "A = 1111\nB = [A]\ndef train(): return B[0]\n",
    "f-string constant": "A = 1111\nTEXT = f'{A:>8}|'\ndef train(): return TEXT\n",
    "f-string format": "TEXT = f'{1:<1111}|'\ndef train(): return len(TEXT)\n",
    "class attribute": "class A:\n    x = 1111\ndef train(): return A.x\n",
    "class annotation": "class A:\n    x: int = 1111\ndef train(): return A().x\n",
    "base class": "class B:\n    def f(self): return 1111\nclass A(B): pass\ndef train(): return A().f()\n",
    "base of a base": "class C:\n    x = 1111\nclass B(C): pass\nclass A(B): pass\ndef train(): return A.x\n",
    "mixin": "class M:\n    x = 1111\nclass B: pass\nclass A(B, M): pass\ndef train(): return A.x\n",
    "keyword of a class": (
        "class B:\n    def __init_subclass__(cls, n, **k): cls.n = n\n"
        "class A(B, n=1111): pass\ndef train(): return A.n\n"
    ),
    "init_subclass": (
        "class B:\n    def __init_subclass__(cls): cls.n = 1111\nclass A(B): pass\ndef train(): return A.n\n"
    ),
    "metaclass": (
        "class M(type):\n    def __new__(m, n, b, d): return super().__new__(m, n, b, {**d, 'x': 1111})\n"
        "class A(metaclass=M): pass\ndef train(): return A.x\n"
    ),
    "descriptor": (
        "class D:\n    def __get__(self, o, t): return 1111\nclass A:\n    x = D()\ndef train(): return A.x\n"
    ),
    "set_name": (
        "class D:\n    def __set_name__(self, o, n): o.other = n + '1111'\n"
        "class A:\n    x = D()\ndef train(): return A.other\n"
    ),
    "slots": "class A:\n    __slots__ = ('a1111',)\ndef train(): return A.__slots__[0]\n",
    "method": "class A:\n    def f(self): return 1111\ndef train(): return A().f()\n",
    "property": "class A:\n    @property\n    def f(self): return 1111\ndef train(): return A().f\n",
    "cached property": (
        "import functools\nclass A:\n    @functools.cached_property\n    def f(self): return 1111\n"
        "def train(): return A().f\n"
    ),
    "staticmethod": "class A:\n    @staticmethod\n    def f(): return 1111\ndef train(): return A.f()\n",
    "classmethod": "class A:\n    x = 1111\n    @classmethod\n    def f(c): return c.x\ndef train(): return A.f()\n",
    "operator method": "class A:\n    def __add__(s, o): return 1111\ndef train(): return A() + 1\n",
    "callable class": "class A:\n    def __call__(s): return 1111\na = A()\ndef train(): return a()\n",
    "instance": "class A:\n    def __init__(s, x): s.x = x\na = A(1111)\ndef train(): return a.x\n",
    "super call": (
        "class B:\n    def f(s): return 1111\nclass A(B):\n    def f(s): return super().f()\n"
        "def train(): return A().f()\n"
    ),
    "nested class": "class A:\n    class B:\n        x = 1111\ndef train(): return A.B.x\n",
    "class made in a function": "def make():\n    class A:\n        x = 1111\n    return A\ndef train(): return make().x\n",
    "enum member": "import enum\nclass E(enum.Enum):\n    A = 1111\ndef train(): return E.A.value\n",
    "enum by name": "import enum\nclass E(enum.IntEnum):\n    A = 1111\ndef train(): return int(E['A'])\n",
    "auto of an enum": (
        "import enum\nclass E(enum.Enum):\n    def _generate_next_value_(n, s, c, l): return 1111\n"
        "    A = enum.auto()\ndef train(): return E.A.value\n"
    ),
    "dataclass field": (
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 1111\ndef train(): return A().x\n"
    ),
    "default factory": (
        "from dataclasses import dataclass, field\n@dataclass\nclass A:\n"
        "    x: list = field(default_factory=lambda: [1111])\ndef train(): return A().x\n"
    ),
    "order of dataclass fields": (
        "from dataclasses import dataclass, astuple\n@dataclass\nclass A:\n    x1111: int\n    x2000: int\n"
        "def train(): return list(A.__dataclass_fields__)\n"
    ),
    "post_init": (
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 0\n"
        "    def __post_init__(self): self.x = 1111\ndef train(): return A().x\n"
    ),
    "named tuple": (
        "from typing import NamedTuple\nclass A(NamedTuple):\n    x: int = 1111\ndef train(): return A().x\n"
    ),
    "named tuple by call": (
        "import collections\nA = collections.namedtuple('A', 'x', defaults=[1111])\ndef train(): return A().x\n"
    ),
    "decorator with a body": (
        "def deco(fn):\n    def inner(): return fn() + 1111\n    return inner\n@deco\ndef train(): return 1\n"
    ),
    "decorator of a helper": (
        "def deco(fn):\n    return lambda: 1111\n@deco\ndef h(): return 1\ndef train(): return h()\n"
    ),
    "argument of a decorator": (
        "def deco(n):\n    def outer(fn): return lambda: n\n    return outer\n"
        "@deco(1111)\ndef h(): return 1\ndef train(): return h()\n"
    ),
    "functools.wraps": (
        "import functools\ndef deco(fn):\n    @functools.wraps(fn)\n    def inner(): return fn() + 1111\n"
        "    return inner\n@deco\ndef train(): return 1\n"
    ),
    "wrapped inside": (
        "import functools\ndef deco(fn):\n    @functools.wraps(fn)\n    def inner(): return fn()\n"
        "    return inner\n@deco\ndef train(): return 1111\n"
    ),
    "two decorators": (
        "def a(fn): return lambda: fn() + 1\ndef b(fn): return lambda: fn() + 1111\n"
        "@a\n@b\ndef train(): return 1\n"
    ),
    "decorator class": (
        "class deco:\n    def __init__(s, fn): s.fn = fn\n    def __call__(s): return s.fn() + 1111\n"
        "@deco\ndef h(): return 1\ndef train(): return h()\n"
    ),
    "class decorator": (
        "def deco(cls):\n    cls.x = 1111\n    return cls\n@deco\nclass A: pass\ndef train(): return A.x\n"
    ),
    "decorated by registry": (
        "STEPS = {}\ndef register(fn):\n    STEPS[fn.__name__] = fn\n    return fn\n"
        "@register\ndef one(): return 1111\ndef train(): return STEPS['one']()\n"
    ),
    "registry by name": (
        "STEPS = {}\ndef register(name):\n    def deco(fn):\n        STEPS[name] = fn\n        return fn\n"
        "    return deco\n@register('a')\ndef one(): return 1111\ndef train(): return STEPS['a']()\n"
    ),
    "registry of classes": (
        "class R:\n    found = []\n    @classmethod\n    def add(cls, k):\n        cls.found.append(k)\n"
        "        return k\n@R.add\nclass A:\n    x = 1111\ndef train(): return [k.x for k in R.found]\n"
    ),
    "registry by init_subclass": (
        "class B:\n    found = []\n    def __init_subclass__(cls): B.found.append(cls)\n"
        "class A(B):\n    x = 1111\ndef train(): return [k.x for k in B.found]\n"
    ),
    "registry by subclasses": (
        "class B: pass\nclass A(B):\n    x = 1111\ndef train(): return [k.x for k in B.__subclasses__()]\n"
    ),
    "registry by a metaclass": (
        "class M(type):\n    found = []\n    def __init__(c, *a): M.found.append(c)\n"
        "class B(metaclass=M):\n    x = 1\nclass A(B):\n    x = 1111\n"
        "def train(): return [k.x for k in M.found]\n"
    ),
    "singledispatch": (
        "import functools\n@functools.singledispatch\ndef f(x): return 0\n"
        "@f.register\ndef _(x: int): return 1111\ndef train(): return f(1)\n"
    ),
    "singledispatch by call": (
        "import functools\n@functools.singledispatch\ndef f(x): return 0\ndef g(x): return 1111\n"
        "f.register(int, g)\ndef train(): return f(1)\n"
    ),
    "singledispatchmethod": (
        "import functools\nclass A:\n    @functools.singledispatchmethod\n    def f(s, x): return 0\n"
        "    @f.register\n    def _(s, x: int): return 1111\ndef train(): return A().f(1)\n"
    ),
    "default argument": "def train(x=1111): return x\n",
    "default of a helper": "def h(x=1111): return x\ndef train(): return h()\n",
    "default by name": "X = 1111\ndef h(x=X): return x\ndef train(): return h()\n",
    "default by call": "def d(): return 1111\ndef h(x=d()): return x\ndef train(): return h()\n",
    "keyword-only default": "def h(*, x=1111): return x\ndef train(): return h()\n",
    "default of a lambda": "h = lambda x=1111: x\ndef train(): return h()\n",
    "mutable default": "def h(x=[1111]): return x\ndef train(): return h()\n",
    "value computed at import": "def f(): return 1111\nX = f()\ndef train(): return X\n",
    "comprehension at import": "X = [n + 1111 for n in range(2)]\ndef train(): return X\n",
    "loop at import": "X = []\nfor n in range(2):\n    X.append(n + 1111)\ndef train(): return X\n",
    "while at import": "X = 0\nwhile X < 1111:\n    X += 7\ndef train(): return X\n",
    "condition at import": "F = 1111\nif F > 2000:\n    X = 1\nelse:\n    X = 2\ndef train(): return X\n",
    "with at import": (
        "import contextlib\nwith contextlib.nullcontext(1111) as X:\n    pass\ndef train(): return X\n"
    ),
    "match at import": "match 1111:\n    case 1111 as X: pass\ndef train(): return X\n",
    "match in the body": (
        "def train():\n    match 1111:\n        case 2222: return 2\n        case _: return 1\n"
    ),
    "pattern by a constant": (
        "class K:\n    A = 1111\ndef train():\n    match 1000 + 111:\n        case K.A: return 2\n        case x: return x\n"
    ),
    "pattern by a class": (
        "class P:\n    __match_args__ = ('a1111',)\n    a1111 = 3\n    b = 4\ndef train():\n"
        "    match P():\n        case P(x): return P.__match_args__\n"
    ),
    "mutated after": "X = {}\nX['a'] = 1111\ndef train(): return X\n",
    "mutated by a method": "X = []\nX.append(1111)\ndef train(): return X\n",
    "mutated by a function": "X = []\ndef fill(n): X.append(n)\nfill(1111)\ndef train(): return X\n",
    "mutated by a function it is given to": "X = []\ndef fill(x): x.append(1111)\nfill(X)\ndef train(): return X\n",
    "augmented": "X = 1\nX += 1111\ndef train(): return X\n",
    "rebound": "X = 1\nX = 1111\ndef train(): return X\n",
    "attribute set after": "class A: pass\nA.x = 1111\ndef train(): return A.x\n",
    "attribute of a function": "def h(): return h.x\nh.x = 1111\ndef train(): return h()\n",
    "setattr": "class A: pass\nsetattr(A, 'x', 1111)\ndef train(): return A.x\n",
    "monkey patch": "class A:\n    def f(s): return 1\ndef g(s): return 1111\nA.f = g\ndef train(): return A().f()\n",
    "patch of another module": (
        "import colorsys\ndef f(r, g, b): return '1111'\ncolorsys.rgb_to_hsv = f\n"
        "def train(): return colorsys.rgb_to_hsv(1, 1, 1)\n"
    ),
    "update of the namespace": "globals().update(X=1111)\nX = globals()['X']\ndef train(): return X\n",
    "walrus": "Y = (X := 1111)\ndef train(): return X\n",
    "unpacked": "A, (B, *C) = 1, (2, 1111)\ndef train(): return C\n",
    "chained": "A = B = [1111]\ndef train(): return B\n",
    "deleted": "X = 1111\nY = X\ndel X\ndef train(): return Y\n",
    "try at import": "try:\n    X = 1111\nexcept ValueError:\n    X = 2\ndef train(): return X\n",
    "handler at import": "try:\n    X = {}['a']\nexcept KeyError:\n    X = 1111\ndef train(): return X\n",
    "finally at import": "try:\n    X = 1\nfinally:\n    X = 1111\ndef train(): return X\n",
    "what a try attempts": (
        "def check(): return {2222: 1}[1111]\ntry:\n    check()\n    X = 1\nexcept KeyError:\n    X = 2\n"
        "def train(): return X\n"
    ),
    "ImportError fallback": "try:\n    import no_such\nexcept ImportError:\n    no_such = 1111\ndef train(): return no_such\n",
    "fallback function": (
        "try:\n    from no_such import f\nexcept ImportError:\n    def f(): return 1111\ndef train(): return f()\n"
    ),
    "import by version": (
        "import sys\nif sys.version_info >= (3, 0):\n    def f(): return 1111\nelse:\n    def f(): return 0\n"
        "def train(): return f()\n"
    ),
    "suppress": (
        "import contextlib\nX = 0\nwith contextlib.suppress(KeyError):\n    X = 1111\ndef train(): return X\n"
    ),
    "closure value": "def make(n):\n    def f(): return n\n    return f\ng = make(1111)\ndef train(): return g()\n",
    "closure code": "def make(n):\n    def f(): return n + 1111\n    return f\ng = make(1)\ndef train(): return g()\n",
    "nested functions": "def train():\n    def a():\n        def b(): return 1111\n        return b()\n    return a()\n",
    "nonlocal": "def train():\n    x = 1\n    def f():\n        nonlocal x\n        x = 1111\n    f()\n    return x\n",
    "global counter": "N = 1111\ndef up():\n    global N\n    N += 1\n    return N\ndef train(): return [up(), up()]\n",
    "global set by another": "N = 0\ndef put():\n    global N\n    N = 1111\nput()\ndef train(): return N\n",
    "global made late": "def put():\n    global N\n    N = 1111\ndef train():\n    put()\n    return N\n",
    "partial": "import functools\ndef f(x): return x\ng = functools.partial(f, 1111)\ndef train(): return g()\n",
    "partial of a method": (
        "import functools\nclass A:\n    def f(s, x): return x\n    g = functools.partialmethod(f, 1111)\n"
        "def train(): return A().g()\n"
    ),
    "lambda in a constant": "F = {'a': lambda x: x + 1111}\ndef train(): return F['a'](1)\n",
    "lambda as a name": "f = lambda: 1111\ndef train(): return f()\n",
    "function in a list": "def f(): return 1111\nFS = [f]\ndef train(): return FS[0]()\n",
    "function in a dict": "def f(): return 1111\nFS = dict(a=f)\ndef train(): return FS['a']()\n",
    "alias": "def f(): return 1111\ng = f\ndef train(): return g()\n",
    "key function": "def k(x): return x * (1 if 1111 > 2000 else -1)\ndef train(): return sorted([1, 2], key=k)\n",
    "comprehension": "def f(x): return x + 1111\ndef train(): return [f(x) for x in (1, 2) if f(x)]\n",
    "generator": "def g():\n    yield 1111\ndef train(): return list(g())\n",
    "yield from": "def a():\n    yield 1111\ndef g():\n    yield from a()\ndef train(): return list(g())\n",
    "async": "import asyncio\nasync def g(): return 1111\ndef train(): return asyncio.run(g())\n",
    "async generator": (
        "import asyncio\nasync def g():\n    yield 1111\nasync def all(): return [x async for x in g()]\n"
        "def train(): return asyncio.run(all())\n"
    ),
    "async context": (
        "import asyncio, contextlib\n@contextlib.asynccontextmanager\nasync def c():\n    yield 1111\n"
        "async def all():\n    async with c() as x: return x\ndef train(): return asyncio.run(all())\n"
    ),
    "context manager": (
        "import contextlib\n@contextlib.contextmanager\ndef c():\n    yield 1111\n"
        "def train():\n    with c() as x: return x\n"
    ),
    "exception": (
        "class E(Exception):\n    code = 1111\ndef train():\n    try: raise E\n    except E as e: return e.code\n"
    ),
    "getattr with a literal": "class A:\n    x = 1111\ndef train(): return getattr(A, 'x')\n",
    "getattr of a class by a computed name": "class A:\n    x = 1111\ndef train(n='x'): return getattr(A(), n)\n",
    "vars": "class A:\n    x = 1111\ndef train(): return vars(A)['x']\n",
    "globals by a literal": "X = 1111\ndef train(): return globals()['X']\n",
    "eval of a literal": "X = 1111\ndef train(): return eval('X + 1')\n",
    "exec of a literal": "exec('X = 1111')\ndef train(): return X\n",
    "type alias": "Row = dict[str, int]\nX = {'a': 1111}\ndef train(): return [str(Row), X]\n",
    "type alias used at run time": (
        "import typing\nMode = typing.Literal['a1111', 'b']\ndef train(): return list(typing.get_args(Mode))\n"
    ),
    "type variable": "import typing\nT = typing.TypeVar('T1111')\ndef train(): return T.__name__\n",
    "annotations at run time": (
        "import typing\ndef h(x: typing.Literal[1111]): pass\n"
        "def train(): return str(typing.get_type_hints(h))\n"
    ),
    "postponed annotations": (
        "from __future__ import annotations\nimport typing\nX = typing.Literal[1111]\ndef h(x: X): pass\n"
        "def train(): return str(typing.get_type_hints(h))\n"
    ),
    "typed dict": (
        "import typing\nclass R(typing.TypedDict):\n    a1111: int\ndef train(): return list(R.__annotations__)\n"
    ),
    "docstring that is read": "def h():\n    '''1111'''\ndef train(): return h.__doc__\n",
    "docstring by inspect": "import inspect\ndef h():\n    '''1111'''\ndef train(): return inspect.getdoc(h)\n",
    "name that is read": "def h1111(): pass\ndef train(): return h1111.__name__\n",
    "assert": "X = 1111\ndef train():\n    try: assert X > 2000\n    except AssertionError: return 0\n    return 1\n",
    "chained comparison": "def train(): return 1000 < 1111 < 2000\n",
    "conditional expression": "A = 1111\ndef train(): return 1 if A > 2000 else 2\n",
    "slice": "def train(): return list(range(9999))[1111:1112]\n",
    "star arguments": "ARGS = [1111]\ndef f(*a, **k): return a\ndef train(): return f(*ARGS)\n",
    "regular expression": "import re\nR = re.compile('(1111)?')\ndef train(): return R.pattern\n",
    "environment that the file sets": "import os\nos.environ['SB_X'] = '1111'\ndef train(): return os.environ['SB_X']\n",
    "seed": "import random\nrandom.seed(1111)\ndef train(): return random.random()\n",
    "limit of the interpreter": "import sys\nsys.setswitchinterval(1111)\ndef train(): return sys.getswitchinterval()\n",
    "decimal context": (
        "import decimal\ndecimal.getcontext().prec = 11 if 1111 > 2000 else 5\n"
        "def train(): return str(decimal.Decimal(1) / 3)\n"
    ),
    "template": "import string\nT = string.Template('$a 1111')\ndef train(): return T.substitute(a=1)\n",
    "counter object": "import itertools\nC = itertools.count(1111)\ndef train(): return next(C)\n",
    "lru_cache": "import functools\n@functools.lru_cache\ndef f(): return 1111\ndef train(): return f()\n",
    "reduce": "import functools\ndef f(a, b): return a + b + 1111\ndef train(): return functools.reduce(f, [1, 2])\n",
    "abstract class": (
        "import abc\nclass B(abc.ABC):\n    @abc.abstractmethod\n    def f(s): ...\n    def g(s): return s.f()\n"
        "class A(B):\n    def f(s): return 1111\ndef train(): return A().g()\n"
    ),
    "protocol": (
        "from typing import Protocol\nclass P(Protocol):\n    def f(self): return 1111\nclass A(P): pass\n"
        "def train(): return A().f()\n"
    ),
    "class body code": "class A:\n    xs = []\n    for n in range(2):\n        xs.append(n + 1111)\ndef train(): return A.xs\n",
    "class body call": "def f(): return 1111\nclass A:\n    x = f()\ndef train(): return A.x\n",
    "getattr method": "class A:\n    def __getattr__(s, n): return 1111\ndef train(): return A().any\n",
    "class_getitem": "class A:\n    def __class_getitem__(c, k): return 1111\ndef train(): return A[0]\n",
    "contextvar": "import contextvars\nV = contextvars.ContextVar('v', default=1111)\ndef train(): return V.get()\n",
    "thread": (
        "import threading\nOUT = []\ndef work(): OUT.append(1111)\ndef train():\n"
        "    t = threading.Thread(target=work)\n    t.start()\n    t.join()\n    return OUT\n"
    ),
    "pickle": (
        "import pickle\nclass A:\n    def __reduce__(s): return (int, (1111,))\n"
        "def train(): return pickle.loads(pickle.dumps(A()))\n"
    ),
}

SEVERAL = {
    "imported module": {
        "dag.py": "import lib\ndef train(): return lib.f()\n",
        "lib.py": "def f(): return 1111\n",
    },
    "imported name": {
        "dag.py": "from lib import f\ndef train(): return f()\n",
        "lib.py": "def f(): return 1111\n",
    },
    "imported as": {
        "dag.py": "from lib import f as g\ndef train(): return g()\n",
        "lib.py": "def f(): return 1111\n",
    },
    "imports of an import": {
        "dag.py": "import a\ndef train(): return a.f()\n",
        "a.py": "import b\ndef f(): return b.g()\n",
        "b.py": "from c import X\ndef g(): return X\n",
        "c.py": "X = 1111\n",
    },
    "circular import": {
        "dag.py": "import a\ndef train(): return a.f()\n",
        "a.py": "import b\ndef f(): return b.g()\n",
        "b.py": "import a\ndef g(): return 1111\n",
    },
    "import in the body": {
        "dag.py": "def train():\n    import lib\n    return lib.X\n",
        "lib.py": "X = 1111\n",
    },
    "import in a helper": {
        "dag.py": "def h():\n    from lib import X\n    return X\ndef train(): return h()\n",
        "lib.py": "X = 1111\n",
    },
    "import in a module's function": {
        "dag.py": "import a\ndef train(): return a.f()\n",
        "a.py": "def f():\n    from b import X\n    return X\n",
        "b.py": "X = 1111\n",
    },
    "pkg.mod.f()": {
        **PKG,
        "dag.py": "import pkg\nimport pkg.mod\ndef train(): return pkg.mod.f()\n",
        "pkg/mod.py": "def f(): return 1111\n",
    },
    "pkg.mod.f() that the package imports": {
        "dag.py": "import pkg\ndef train(): return pkg.mod.f()\n",
        "pkg/__init__.py": "from . import mod\n",
        "pkg/mod.py": "def f(): return 1111\n",
    },
    "import pkg.mod as m": {
        **PKG,
        "dag.py": "import pkg.mod as m\ndef train(): return m.X\n",
        "pkg/mod.py": "X = 1111\n",
    },
    "from pkg import mod": {
        **PKG,
        "dag.py": "from pkg import mod\ndef train(): return mod.X\n",
        "pkg/mod.py": "X = 1111\n",
    },
    "re-export": {
        "dag.py": "from pkg import f\ndef train(): return f()\n",
        "pkg/__init__.py": "from .mod import f\n",
        "pkg/mod.py": "def f(): return 1111\n",
    },
    "re-export of a re-export": {
        "dag.py": "from pkg import f\ndef train(): return f()\n",
        "pkg/__init__.py": "from .sub import f\n",
        "pkg/sub/__init__.py": "from .mod import g as f\n",
        "pkg/sub/mod.py": "def g(): return 1111\n",
    },
    "which name is re-exported": {
        "dag.py": "from pkg import f\ndef train(): return f()\n",
        "pkg/__init__.py": "from .mod import f1111 as f\n",
        "pkg/mod.py": "def __getattr__(name): return lambda: name\n",
    },
    "code of a package": {
        "pkg/__init__.py": "X = 1111\n",
        "dag.py": "from pkg import mod\ndef train(): return mod.f()\n",
        "pkg/mod.py": "import pkg\ndef f(): return pkg.X\n",
    },
    "package around a module": {
        "dag.py": "from pkg.mod import f\ndef train(): return f()\n",
        "pkg/__init__.py": "import colorsys\ncolorsys.extra = 1111\n",
        "pkg/mod.py": "import colorsys\ndef f(): return colorsys.extra\n",
    },
    "conditional import": {
        "dag.py": "import sys\nif sys.maxsize > 0:\n    from a import f\nelse:\n    from b import f\ndef train(): return f()\n",
        "a.py": "def f(): return 1111\n",
        "b.py": "def f(): return 0\n",
    },
    "condition of an import": {
        "dag.py": "FLAG = 1111\nif FLAG > 2000:\n    from a import f\nelse:\n    from b import f\ndef train(): return f()\n",
        "a.py": "def f(): return 1\n",
        "b.py": "def f(): return 0\n",
    },
    "fallback module": {
        "dag.py": "try:\n    from no_such import f\nexcept ImportError:\n    from b import f\ndef train(): return f()\n",
        "b.py": "def f(): return 1111\n",
    },
    "relative import": {
        **PKG,
        "dag.py": "from pkg.a import f\ndef train(): return f()\n",
        "pkg/a.py": "from .b import X\ndef f(): return X\n",
        "pkg/b.py": "X = 1111\n",
    },
    "from . import": {
        **PKG,
        "dag.py": "from pkg.a import f\ndef train(): return f()\n",
        "pkg/a.py": "from . import b\ndef f(): return b.X\n",
        "pkg/b.py": "X = 1111\n",
    },
    "from .. import": {
        **PKG,
        "pkg/s/__init__.py": "",
        "dag.py": "from pkg.s.a import f\ndef train(): return f()\n",
        "pkg/s/a.py": "from .. import b\ndef f(): return b.X\n",
        "pkg/b.py": "X = 1111\n",
    },
    "from ..x import": {
        **PKG,
        "pkg/s/__init__.py": "",
        "dag.py": "from pkg.s.a import f\ndef train(): return f()\n",
        "pkg/s/a.py": "from ..b import X\ndef f(): return X\n",
        "pkg/b.py": "X = 1111\n",
    },
    "star import": {
        "dag.py": "from lib import *\ndef train(): return f()\n",
        "lib.py": "def f(): return 1111\n",
    },
    "__all__": {
        "dag.py": "from lib import *\ndef train(): return _f()\n",
        "lib.py": "__all__ = ['_f']\ndef _f(): return 1111\n",
    },
    "star through a package": {
        "dag.py": "from pkg import *\ndef train(): return f()\n",
        "pkg/__init__.py": "from .mod import *\n",
        "pkg/mod.py": "def f(): return 1111\n",
    },
    "star that hides a name": {
        "dag.py": "from a import *\nfrom b import *\ndef train(): return f()\n",
        "a.py": "def f(): return 0\n",
        "b.py": "def f(): return 1111\n",
    },
    "computed __all__": {
        "dag.py": "from lib import *\ndef train(): return f()\n",
        "lib.py": "__all__ = []\ndef export(fn):\n    __all__.append(fn.__name__)\n    return fn\n@export\ndef f(): return 1111\n",
    },
    "star that hides a builtin": {
        "dag.py": "from lib import *\ndef train(): return len([])\n",
        "lib.py": "def len(x): return 1111\n",
    },
    "namespace package": {
        "dag.py": "from space.mod import f\ndef train(): return f()\n",
        "space/mod.py": "def f(): return 1111\n",
    },
    "namespace in a package": {
        **PKG,
        "dag.py": "import pkg.deep.mod\ndef train(): return pkg.deep.mod.X\n",
        "pkg/deep/mod.py": "X = 1111\n",
    },
    "import_module of a literal": {
        "dag.py": "import importlib\ndef train(): return importlib.import_module('lib').X\n",
        "lib.py": "X = 1111\n",
    },
    "import_module by its name": {
        "dag.py": "from importlib import import_module\nm = import_module('lib')\ndef train(): return m.X\n",
        "lib.py": "X = 1111\n",
    },
    "relative import_module": {
        **PKG,
        "dag.py": "from pkg.a import f\ndef train(): return f()\n",
        "pkg/a.py": "import importlib\ndef f(): return importlib.import_module('.b', __package__).X\n",
        "pkg/b.py": "X = 1111\n",
    },
    "relative import_module by a literal package": {
        **PKG,
        "dag.py": "import importlib\ndef train(): return importlib.import_module('.b', 'pkg').X\n",
        "pkg/b.py": "X = 1111\n",
    },
    "import_module of a constant": {
        "dag.py": "import importlib\nNAME = 'lib'\ndef train(): return importlib.import_module(NAME).X\n",
        "lib.py": "X = 1111\n",
    },
    "__import__": {"dag.py": "def train(): return __import__('lib').X\n", "lib.py": "X = 1111\n"},
    "__getattr__ of a module": {
        "dag.py": "import lib\ndef train(): return lib.anything\n",
        "lib.py": "def __getattr__(name): return 1111\n",
    },
    "lazy import by __getattr__": {
        "dag.py": "from pkg import f\ndef train(): return f()\n",
        "pkg/__init__.py": "def __getattr__(name):\n    import pkg.mod as mod\n    return getattr(mod, name)\n",
        "pkg/mod.py": "def f(): return 1111\n",
    },
    "getattr of a module by a literal": {
        "dag.py": "import lib\ndef train(): return getattr(lib, 'X')\n",
        "lib.py": "X = 1111\n",
    },
    "getattr of a module by a computed name": {
        "dag.py": "import lib\ndef train(n='X'): return getattr(lib, n)\n",
        "lib.py": "X = 1111\n",
    },
    "module for its effect": {
        "dag.py": "import registry\nimport effects\ndef train(): return registry.ALL\n",
        "registry.py": "ALL = []\n",
        "effects.py": "import registry\nregistry.ALL.append(1111)\n",
    },
    "module for its effect on a class": {
        "dag.py": "from base import B\nimport subs\ndef train(): return [c.x for c in B.__subclasses__()]\n",
        "base.py": "class B: pass\n",
        "subs.py": "from base import B\nclass A(B):\n    x = 1111\n",
    },
    "effect that a package imports": {
        "dag.py": "from pkg import registry\ndef train(): return registry.ALL\n",
        "pkg/__init__.py": "from . import registry, effects\n",
        "pkg/registry.py": "ALL = []\n",
        "pkg/effects.py": "from .registry import ALL\nALL.append(1111)\n",
    },
    "module patched from the DAG file": {
        "dag.py": "import lib\nlib.X = 1111\ndef train(): return lib.f()\n",
        "lib.py": "X = 1\ndef f(): return X\n",
    },
    "class patched from another module": {
        "dag.py": "from lib import A\nimport patches\ndef train(): return A().f()\n",
        "lib.py": "class A:\n    def f(s): return 1\n",
        "patches.py": "from lib import A\ndef f(s): return 1111\nA.f = f\n",
    },
    "base class of another module": {
        "dag.py": "from lib import B\nclass A(B): pass\ndef train(): return A().x\n",
        "lib.py": "class B:\n    x = 1111\n",
    },
    "decorator of another module": {
        "dag.py": "from lib import deco\n@deco\ndef train(): return 1\n",
        "lib.py": "def deco(fn):\n    def inner(): return fn() + 1111\n    return inner\n",
    },
    "enum of another module": {
        "dag.py": "from lib import E\ndef train(x=None): return E.A.value\n",
        "lib.py": "import enum\nclass E(enum.Enum):\n    A = 1111\n",
    },
    "constant as a default": {
        "dag.py": "from lib import X\ndef h(x=X): return x\ndef train(): return h()\n",
        "lib.py": "X = 1111\n",
    },
    "constant in an annotation": {
        "dag.py": "import typing\nfrom lib import M\ndef h(x: M): pass\ndef train(): return str(typing.get_type_hints(h))\n",
        "lib.py": "import typing\nM = typing.Literal[1111]\n",
    },
    "conditional code of a module": {
        "dag.py": "import lib\ndef train(): return lib.X\n",
        "lib.py": "F = 1111\nif F > 2000: X = 1\nelse: X = 2\n",
    },
    "submodule that another imports": {
        **PKG,
        "dag.py": "import pkg\nimport other\ndef train(): return pkg.mod.X\n",
        "other.py": "import pkg.mod\n",
        "pkg/mod.py": "X = 1111\n",
    },
    "package with the name of a function": {
        "dag.py": "from pkg import f\ndef train(): return f()\n",
        "pkg/__init__.py": "from .f import f\n",
        "pkg/f.py": "def f(): return 1111\n",
    },
    "module docstring that is read": {
        "dag.py": "import lib\ndef train(): return lib.__doc__\n",
        "lib.py": "'''1111'''\n",
    },
    "docstring of another module's function": {
        "dag.py": "import lib\ndef train(): return lib.f.__doc__\n",
        "lib.py": "def f():\n    '''1111'''\n",
    },
    "docstring that a module reads": {
        "dag.py": "import a, b\ndef train(): return b.doc(a.f)\n",
        "a.py": "def f():\n    '''1111'''\n",
        "b.py": "def doc(f): return f.__doc__\n",
    },
    "partial over modules": {
        "dag.py": "import functools, lib\ng = functools.partial(lib.f, 1)\ndef train(): return g()\n",
        "lib.py": "def f(x): return x + 1111\n",
    },
    "registry over modules": {
        "dag.py": "import steps\nfrom registry import ALL\ndef train(): return ALL['a']()\n",
        "registry.py": "ALL = {}\ndef add(name):\n    def deco(fn):\n        ALL[name] = fn\n        return fn\n    return deco\n",
        "steps.py": "from registry import add\n@add('a')\ndef one(): return 1111\n",
    },
    "pkgutil.walk_packages": {
        "dag.py": "import pkgutil, importlib, pkg, pkg.a\ndef train():\n"
        "    return [importlib.import_module(m.name).X for m in pkgutil.walk_packages(pkg.__path__, 'pkg.')]\n",
        "pkg/__init__.py": "",
        "pkg/a.py": "X = 1111\n",
    },
}

SEVERAL |= {
    "star import of listed submodules": {
        **PKG,
        "pkg/__init__.py": "__all__ = ['mod']\n",
        "dag.py": "import lib\ndef train(): return lib.mod.X\n",
        "lib.py": "from pkg import *\n",
        "pkg/mod.py": "X = 1111\n",
    },
    "subclasses that another module lists": {
        "dag.py": "from lib import B, all\nclass A(B):\n    x = 1111\ndef train(): return all()\n",
        "lib.py": "class B: pass\ndef all(): return [k.x for k in B.__subclasses__()]\n",
    },
    "bound before a star": {
        "dag.py": "f = 0\nfrom lib import *\ndef train(): return f\n",
        "lib.py": "f = 1111\n",
    },
}

FILES = {
    "importlib.resources.files": {
        **PKG,
        "dag.py": "from importlib.resources import files\ndef train(): return files('pkg').joinpath('x.sql').read_text()\n",
        "pkg/x.sql": "1111",
    },
    "files by division": {
        **PKG,
        "dag.py": "import importlib.resources\ndef train(): return (importlib.resources.files('pkg') / 'sql' / 'x.sql').read_text()\n",
        "pkg/sql/x.sql": "1111",
    },
    "files of a module": {
        **PKG,
        "dag.py": "import pkg\nfrom importlib import resources\ndef train(): return resources.files(pkg).joinpath('sql', 'x.sql').read_text()\n",
        "pkg/sql/x.sql": "1111",
    },
    "files of __package__": {
        **PKG,
        "dag.py": "from pkg.a import f\ndef train(): return f()\n",
        "pkg/a.py": "from importlib.resources import files\ndef f(): return files(__package__).joinpath('x.sql').read_text()\n",
        "pkg/x.sql": "1111",
    },
    "files of __name__": {
        "dag.py": "from pkg import f\ndef train(): return f()\n",
        "pkg/__init__.py": "from importlib.resources import files\ndef f(): return files(__name__).joinpath('x.sql').read_text()\n",
        "pkg/x.sql": "1111",
    },
    "files kept in a constant": {
        **PKG,
        "dag.py": "from importlib.resources import files\nHERE = files('pkg')\ndef train(): return (HERE / 'x.sql').read_text()\n",
        "pkg/x.sql": "1111",
    },
    "read at import": {
        **PKG,
        "dag.py": "from importlib.resources import files\nSQL = (files('pkg') / 'x.sql').read_text()\ndef train(): return SQL\n",
        "pkg/x.sql": "1111",
    },
    "resources.read_text": {
        **PKG,
        "dag.py": "from importlib.resources import read_text\ndef train(): return read_text('pkg', 'x.sql')\n",
        "pkg/x.sql": "1111",
    },
    "resources.read_binary": {
        **PKG,
        "dag.py": "from importlib import resources\ndef train(): return resources.read_binary('pkg', 'x.sql').decode()\n",
        "pkg/x.sql": "1111",
    },
    "resources.open_text": {
        **PKG,
        "dag.py": "from importlib import resources\ndef train():\n    with resources.open_text('pkg', 'x.sql') as f: return f.read()\n",
        "pkg/x.sql": "1111",
    },
    "pkgutil.get_data": {
        **PKG,
        "dag.py": "import pkgutil\ndef train(): return pkgutil.get_data('pkg', 'sql/x.sql').decode()\n",
        "pkg/sql/x.sql": "1111",
    },
    "get_data of __package__": {
        **PKG,
        "dag.py": "import pkg.a\ndef train(): return pkg.a.f()\n",
        "pkg/a.py": "from pkgutil import get_data\ndef f(): return get_data(__package__, 'x.sql').decode()\n",
        "pkg/x.sql": "1111",
    },
    "Path(__file__).parent": {
        "dag.py": "from pathlib import Path\ndef train(): return (Path(__file__).parent / 'x.sql').read_text()\n",
        "x.sql": "1111",
    },
    "directory in a constant": {
        "dag.py": "import pathlib\nHERE = pathlib.Path(__file__).resolve().parent\nSQL = HERE / 'sql'\ndef train(): return (SQL / 'x.sql').read_text()\n",
        "sql/x.sql": "1111",
    },
    "beside a module": {
        **PKG,
        "dag.py": "from pkg.a import f\ndef train(): return f()\n",
        "pkg/a.py": "from pathlib import Path\ndef f(): return Path(__file__).parent.joinpath('x.sql').read_text()\n",
        "pkg/x.sql": "1111",
    },
    "with_name": {
        "dag.py": "from pathlib import Path\ndef train(): return Path(__file__).with_name('x.sql').read_text()\n",
        "x.sql": "1111",
    },
    "parents": {
        **PKG,
        "dag.py": "from pkg.a import f\ndef train(): return f()\n",
        "pkg/a.py": "from pathlib import Path\nROOT = Path(__file__).parents[1]\ndef f(): return (ROOT / 'data' / 'x.sql').read_text()\n",
        "data/x.sql": "1111",
    },
    "os.path": {
        "dag.py": "import os\ndef train():\n    with open(os.path.join(os.path.dirname(__file__), 'x.sql')) as f: return f.read()\n",
        "x.sql": "1111",
    },
    "os.path.abspath": {
        "dag.py": "import os.path\nHERE = os.path.dirname(os.path.abspath(__file__))\ndef train(): return open(os.path.join(HERE, 'sql', 'x.sql')).read()\n",
        "sql/x.sql": "1111",
    },
    "f-string path": {
        "dag.py": "import os.path\nHERE = os.path.dirname(__file__)\ndef train(): return open(f'{HERE}/x.sql').read()\n",
        "x.sql": "1111",
    },
    "local name": {
        "dag.py": "from pathlib import Path\ndef train():\n    here = Path(__file__).parent\n    p = here / 'x.sql'\n    return p.read_text()\n",
        "x.sql": "1111",
    },
    "a directory of files": {
        "dag.py": "from pathlib import Path\ndef train(): return sorted(p.read_text() for p in (Path(__file__).parent / 'sql').glob('*.sql'))\n",
        "sql/x.sql": "1111",
        "sql/y.sql": "y",
    },
}
