"""Small random projects as data, the random edits of them, and their text."""

# ruff: noqa: E501

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

KINDS: Mapping[str, tuple[str, str]] = {
    "constant": ("{name} = {value}", "{name}"),
    "computed": ("{name} = {total0}", "{name}"),
    "list": ("{name} = []\n{name}.append({value})\n{name}.append({total0})", "sum({name})"),
    "mapping": ("{name} = {{'k': {value}}}\n{name}['m'] = {total0}", "{name}['k'] + {name}['m']"),
    "loop": ("{name} = 0\nfor _i in range(3):\n    {name} += _i * {value}", "{name}"),
    "branch": ("if {value} % 2:\n    {name} = {total0}\nelse:\n    {name} = {value}", "{name}"),
    "attempt": (
        "try:\n    {name} = {total0} // ({value} % 3)\nexcept ZeroDivisionError:\n    {name} = -1",
        "{name}",
    ),
    "function": ("def {name}(x):\n    return {total}", "{name}(x)"),
    "default": ("def {name}(x, d={value}):\n    return d {op} x + {refs}", "{name}(x)"),
    "late import": ("def {name}(x):\n    import math\n    return math.floor({total})", "{name}(x)"),
    "local": (
        "def {name}(x):\n    def inner(y):\n        return y {op} {value}\n    return inner({refs} + x)",
        "{name}(x)",
    ),
    "generator": (
        "def {name}(x):\n    for i in range(3):\n        yield i {op} {value} + {refs}",
        "sum({name}(x))",
    ),
    "async": (
        "async def a{name}(x):\n    return {total}\ndef {name}(x):\n    try:\n        a{name}(x).send(None)\n    except StopIteration as end:\n        return end.value",
        "{name}(x)",
    ),
    "match": (
        "def {name}(x):\n    match x:\n        case 3: return {value}\n        case n: return n {op} {value} + {refs}",
        "{name}(x)",
    ),
    "global": (
        "c{name} = {value}\ndef {name}(x):\n    global c{name}\n    c{name} += 1\n    return {total} + c{name}",
        "{name}(x)",
    ),
    "lambda": ("{name} = lambda x: {total}", "{name}(x)"),
    "table": ("{name} = {{'k': lambda x: {total}}}", "{name}['k'](x)"),
    "closure": (
        "def m{name}(n):\n    def f(x):\n        return {refs} {op} n + x\n    return f\n{name} = m{name}({value})",
        "{name}(x)",
    ),
    "partial": (
        "import functools\ndef p{name}(n, x):\n    return {refs} {op} n + x\n{name} = functools.partial(p{name}, {value})",
        "{name}(x)",
    ),
    "decorator": (
        "import functools\ndef d{name}(fn):\n    @functools.wraps(fn)\n    def f(x):\n        return fn(x) {op} {value}\n"
        "    return f\n@d{name}\ndef {name}(x):\n    return {refs} + x",
        "{name}(x)",
    ),
    "registry": (
        "r{name} = {{}}\ndef g{name}(fn):\n    r{name}[fn.__name__] = fn\n    return fn\n@g{name}\n"
        "def one{name}(x):\n    return {total}",
        "r{name}['one{name}'](x)",
    ),
    "class": (
        "class {name}:\n    rate = {value}\n    def run(self, x):\n        return self.rate {op} x + {refs}",
        "{name}().run(x)",
    ),
    "derived": (
        "class B{name}:\n    rate = {value}\n    def run(self, x):\n        return self.rate {op} x + {refs}\n"
        "class {name}(B{name}):\n    pass",
        "{name}().run(x)",
    ),
    "property": (
        "class {name}:\n    def __init__(self, x):\n        self.x = x\n    @property\n    def v(self):\n"
        "        return self.x {op} {value} + {refs0}",
        "{name}(x).v",
    ),
    "dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass {name}:\n    v: int = {value}\n    w: int = {refs0}",
        "({name}().v + {name}().w)",
    ),
    "enum": (
        "import enum\nclass {name}(enum.Enum):\n    A = {value}\n    B = {value} + 1",
        "({name}.A.value + x)",
    ),
    "subclass hook": (
        "class B{name}:\n    found = []\n    def __init_subclass__(cls):\n        B{name}.found.append(cls)\n"
        "class {name}(B{name}):\n    v = {value}",
        "sum(c.v for c in B{name}.found)",
    ),
    "dispatch": (
        "import functools\n@functools.singledispatch\ndef {name}(x):\n    return 0\n@{name}.register\n"
        "def _{name}(x: int):\n    return {total}",
        "{name}(x)",
    ),
}
AT_IMPORT = ("computed", "list", "mapping", "branch", "attempt", "property", "dataclass")
STYLES = ("import", "from", "as", "package", "reexport", "star", "inside")
SAME_EDITS = (
    "comment",
    "docstring",
    "format",
    "unreached here",
    "unreached there",
    "order",
    "rename",
    "style",
)
EDITS = ("value", "operator", "reference", "kind", "drop", *SAME_EDITS)


@dataclass(frozen=True)
class Item:
    """One definition; *refs* are the indices of earlier items that it reads."""

    name: str
    kind: str
    value: int
    op: str
    refs: tuple[int, ...]
    module: int
    style: str
    at: int


@dataclass(frozen=True)
class Made:
    """A project: items by their index; the step reads *entry*."""

    items: tuple[Item, ...]
    entry: tuple[int, ...]
    modules: int
    extras: tuple[tuple[str, int], ...] = ()


def make(rnd: Random) -> Made:
    """A random project of 2 to 6 modules."""
    modules = rnd.randint(2, 6)
    count = rnd.randint(3, 10)
    items: list[Item] = []
    for index in range(count):
        module = index * modules // count
        refs = tuple(sorted(rnd.sample(range(index), min(index, rnd.randint(0, 2)))))
        kind = rnd.choice(sorted(KINDS))
        items.append(
            Item(
                f"N{index}",
                kind,
                rnd.randint(0, 9),
                rnd.choice("+-*"),
                refs,
                module,
                rnd.choice(STYLES),
                index,
            )
        )
    return Made(tuple(items), tuple(sorted(rnd.sample(range(count), min(count, 2)))), modules)


def edit(made: Made, what: str, rnd: Random) -> Made:
    """*made* after one edit."""
    at = rnd.randrange(len(made.items))
    item = made.items[at]
    match what:
        case "value":
            new = dataclasses.replace(item, value=item.value + rnd.randint(1, 9))
        case "operator":
            new = dataclasses.replace(item, op=rnd.choice([op for op in "+-*" if op != item.op]))
        case "reference":
            new = dataclasses.replace(
                item, refs=tuple(sorted(rnd.sample(range(at), min(at, rnd.randint(0, 2)))))
            )
        case "kind":
            new = dataclasses.replace(item, kind=rnd.choice(sorted(KINDS)))
        case "drop":
            return dataclasses.replace(made, entry=made.entry[:1])
        case "rename":
            new = dataclasses.replace(item, name=f"R{at}")
        case "style":
            new = dataclasses.replace(item, style=rnd.choice(STYLES))
        case "order":
            others = [one for one in made.items if one.module == item.module]
            order = [one.at for one in others]
            rnd.shuffle(order)
            placed = dict(zip((one.name for one in others), order, strict=True))
            return dataclasses.replace(
                made,
                items=tuple(dataclasses.replace(one, at=placed.get(one.name, one.at)) for one in made.items),
            )
        case _:
            return dataclasses.replace(made, extras=(*made.extras, (what, rnd.randrange(made.modules))))
    return dataclasses.replace(made, items=(*made.items[:at], new, *made.items[at + 1 :]))


def _use(made: Made, item: Item, module: int) -> tuple[str, list[str], list[str]]:
    """The expression that reads *item* in *module*, the imports it needs, and those inside of a function."""
    expression = KINDS[item.kind][1]
    owner = f"m{item.module}"
    names = [{"subclass hook": "B", "registry": "r"}.get(item.kind, "") + item.name]
    if item.kind == "subclass hook":
        names.append(item.name)
    if item.module == module:
        return expression.format(name=item.name), [], []
    plain = expression.format(name=item.name)
    listed = ", ".join(names)

    def dotted(prefix: str) -> str:
        lead = names[0].removesuffix(item.name) + "{name}"
        return expression.replace(lead, f"{prefix}.{lead}").format(name=item.name)

    match item.style:
        case "import":
            return dotted(f"p.{owner}"), [f"import p.{owner}"], []
        case "as":
            return dotted(f"x{owner}"), [f"import p.{owner} as x{owner}"], []
        case "package":
            return dotted(owner), [f"from p import {owner}"], []
        case "reexport":
            return plain, [f"from q{owner} import {listed}"], []
        case "star":
            return plain, [f"from p.{owner} import *"], []
        case "inside":
            return plain, [], [f"from p.{owner} import {listed}"]
    return plain, [f"from p.{owner} import {listed}"], []


def text(made: Made) -> dict[str, str]:
    """The files of a project."""
    files = {"p/__init__.py": ""}
    bodies: dict[int, list[str]] = {module: [] for module in range(made.modules)}
    imports: dict[int, list[str]] = {module: [] for module in range(made.modules + 1)}
    for item in sorted(made.items, key=lambda one: one.at):
        uses = [_use(made, made.items[ref], item.module) for ref in item.refs]
        for _, needed, inner in uses:
            imports[item.module] += [*needed, *inner]
        refs = " + ".join(["0", *(found for found, _, _ in uses)])
        refs0 = " + ".join(
            ["0", *(found.replace("(x)", "(2)").replace("+ x)", "+ 2)") for found, _, _ in uses)]
        )
        bodies[item.module].append(
            KINDS[item.kind][0].format(
                name=item.name,
                value=item.value,
                op=item.op,
                refs=refs,
                refs0=refs0,
                total=f"x {item.op} {item.value} + {refs}",
                total0=f"2 {item.op} {item.value} + {refs0}",
            )
        )
    entry = [_use(made, made.items[index], made.modules) for index in made.entry]
    inside = [line for _, _, inner in entry for line in inner]
    step = ["def train(x):", *(f"    {line}" for line in inside)]
    step += [f"    return [{', '.join(found for found, _, _ in entry)}]"]
    imports[made.modules] = [line for _, needed, _ in entry for line in needed]
    bodies[made.modules] = ["\n".join(step)]
    for what, module in made.extras:
        _extra(bodies, what, module, made.modules)
    for module in range(made.modules):
        files[f"p/m{module}.py"] = "\n".join([*dict.fromkeys(imports[module]), *bodies[module]]) + "\n"
        exports = [
            line.rpartition("import ")[2]
            for lines in imports.values()
            for line in lines
            if line.startswith(f"from qm{module} ")
        ]
        if exports:
            files[f"qm{module}.py"] = (
                f"from p.m{module} import {', '.join(sorted(set(', '.join(exports).split(', '))))}\n"
            )
    files["dag.py"] = "\n".join([*dict.fromkeys(imports[made.modules]), *bodies[made.modules]]) + "\n"
    return files


def _extra(bodies: dict[int, list[str]], what: str, module: int, dag: int) -> None:
    match what:
        case "comment":
            bodies[module].insert(0, "# a comment\n")
        case "docstring":
            bodies[dag][-1] = bodies[dag][-1].replace("def train(x):", "def train(x):\n    '''Says it.'''")
        case "format":
            bodies[module][:] = [
                body.replace(" + ", "  +  ").replace("return ", "return  ") for body in bodies[module]
            ]
        case "unreached here":
            bodies[dag].insert(0, "def unreached(x):\n    return 7")
        case "unreached there":
            bodies[module].append("def unreached(x):\n    return 7")


Edit = Callable[[Made, Random], Made]
