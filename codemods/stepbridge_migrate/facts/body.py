"""What the code of a callable touches besides its arguments: helpers, modules, files, services, chance."""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from stepbridge_migrate.facts.operators import is_airflow
from stepbridge_migrate.facts.project import Defined, Module, Named, Project, Whole
from stepbridge_migrate.facts.scopes import FUNCTIONS, Binding, Bound, Function, Scope, children, dotted
from stepbridge_migrate.model import Effect

Code = Function | ast.Lambda

_BUILTINS = frozenset(dir(builtins))
_MOST = 400
_SHOWN = 80
_RANDOM = re.compile(
    r"^(random\.|secrets\.|numpy\.random\.|uuid\.uuid[14]$|os\.urandom$|time\.(time|time_ns|perf_counter\w*)$"
    r"|datetime\.(datetime\.)?(now|utcnow|today)$|datetime\.date\.today$|pendulum\.(now|today|yesterday|tomorrow)$"
    r"|torch\.(rand|randn|randint|randperm)$|airflow\.utils\.timezone\.utcnow$|airflow\.utils\.dates\.days_ago$)"
)
_FILES = re.compile(
    r"^(os\.(remove|unlink|rename|replace|makedirs|mkdir|rmdir|listdir|scandir|walk|chdir|getcwd|stat)$"
    r"|os\.path\.(exists|isfile|isdir|getsize|getmtime)$|shutil\.|tempfile\.|glob\.i?glob$|zipfile\.ZipFile$"
    r"|tarfile\.open$|io\.open$|gzip\.open$|joblib\.(dump|load)$|torch\.(save|load)$|sqlite3\.connect$"
    r"|numpy\.(load|save|savez|savetxt|loadtxt)$|pandas\.(read_(?!sql|gbq)\w+|ExcelWriter|HDFStore)$"
    r"|polars\.(read|scan)_\w+$|pyarrow\.parquet\.\w+$|duckdb\.connect$)"
)
_FILE_METHODS = frozenset(
    [
        "to_csv",
        "to_parquet",
        "to_pickle",
        "to_json",
        "to_excel",
        "to_feather",
        "to_hdf",
        "write_parquet",
        "write_csv",
        "read_text",
        "read_bytes",
        "write_text",
        "write_bytes",
        "savefig",
        "save_model",
        "save_pretrained",
    ]
)
_WRITES = re.compile(
    r"^((requests|httpx)\.(post|put|patch|delete)$|smtplib\.|subprocess\.|os\.(system|popen)$|paramiko\.)"
)
_WRITE_METHODS = frozenset(
    [
        "to_sql",
        "to_gbq",
        "insert_rows",
        "insert_rows_from_dataframe",
        "insert_all",
        "insert_one",
        "insert_many",
        "update_one",
        "update_many",
        "delete_one",
        "delete_many",
        "bulk_write",
        "bulk_insert",
        "put_object",
        "put_item",
        "delete_object",
        "delete_objects",
        "copy_object",
        "upload_file",
        "upload_fileobj",
        "upload",
        "load_file",
        "load_string",
        "load_bytes",
        "load_file_obj",
        "upload_from_filename",
        "upload_from_string",
        "upload_blob",
        "send_message",
        "send",
        "publish",
        "publish_message",
        "send_email",
        "start_job",
        "run_job",
        "submit",
        "commit",
        "bulk_load",
        "bulk_dump",
        "copy_expert",
        "store_file",
        "put_records",
        "write_points",
        "index_document",
        "post",
        "put",
        "patch",
        "chat_postMessage",
    ]
)
_SIGNS = re.compile(r"get_current_context|Variable|[Cc]onnection|Hook|xcom|\b(globals|exec|eval)\(")
_READ_OWNERS = frozenset({"queue", "stack"})
_SQL_METHODS = frozenset({"execute", "run", "executemany", "query", "sql"})
_DML = re.compile(
    r"^\s*(with\b.*\b)?(insert|update|delete|merge|create|drop|truncate|alter|copy|grant|call|replace)\b",
    re.IGNORECASE | re.DOTALL,
)
_HANDLED = frozenset({"Variable", "Connection", "get_current_context", "BaseHook"})


@dataclass(eq=False)
class Touched:
    """What one function touches, those that it calls left out."""

    helpers: list[Defined] = field(default_factory=list)
    helper_names: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    distributions: list[str] = field(default_factory=list)
    globals: list[str] = field(default_factory=list)
    closure: list[str] = field(default_factory=list)
    environment: list[str] = field(default_factory=list)
    pushes: list[str] = field(default_factory=list)
    hooks: list[Effect] = field(default_factory=list)
    airflow: list[Effect] = field(default_factory=list)
    files: list[Effect] = field(default_factory=list)
    writes: list[Effect] = field(default_factory=list)
    random: list[Effect] = field(default_factory=list)
    followed: bool = True
    signs: bool = False
    """It names something of Airflow's."""

    def add(self, other: Touched) -> None:
        """Take in what a helper touches; what it captures stays its own."""
        for name in (
            "modules",
            "distributions",
            "globals",
            "closure",
            "environment",
            "pushes",
            "helper_names",
        ):
            getattr(self, name).extend(getattr(other, name))
        for name in ("hooks", "airflow", "files", "writes", "random"):
            getattr(self, name).extend(getattr(other, name))
        self.followed &= other.followed
        self.signs |= other.signs


def reach(project: Project, module: Module, code: Code, scope: Scope) -> Touched:
    """What *code* and all functions of the project that it calls touch.

    :param scope: the scope that *code* stands in.
    """
    total = Touched()
    first = _touched(project, module, code, scope)
    total.add(first)
    pending = list(first.helpers)
    seen = {id(code)}
    while pending:
        helper = pending.pop(0)
        if id(helper.node) in seen:
            continue
        seen.add(id(helper.node))
        if len(seen) > _MOST:
            total.followed = False
            break
        for part, around in _parts(helper):
            found = _touched(project, helper.module, part, around)
            total.add(found)
            pending += found.helpers
    return total


def _parts(helper: Defined) -> Iterator[tuple[Code, Scope]]:
    """The functions that a helper runs: itself, or the methods of a class."""
    if isinstance(helper.node, FUNCTIONS):
        yield helper.node, helper.scope
        return
    inner = helper.module.walked.scopes.get(id(helper.node))
    for item in helper.node.body:
        if isinstance(item, FUNCTIONS) and inner is not None:
            yield item, inner


def _touched(project: Project, module: Module, code: Code, scope: Scope) -> Touched:
    key = ("touched", id(code))
    known = module.memo.get(key)
    if known is None:
        known = module.memo[key] = _Finder(project, module, code, scope).find()
    assert isinstance(known, Touched)
    return known


class _Finder:
    def __init__(self, project: Project, module: Module, code: Code, scope: Scope) -> None:
        self.project = project
        self.module = module
        self.code = code
        self.scope = scope
        self.found = Touched()
        self.own = module.walked.scopes.get(id(code)) or Scope(code, scope)
        self.locals = dict(self.own.names)
        self._memo: dict[tuple[str, ...], str] = {}

    def find(self) -> Touched:
        nodes = self._nodes()
        span = self.module.file.span(self.code)
        self.found.signs = _SIGNS.search(self.module.file.text, span.start, span.end) is not None
        for node in nodes:
            inner = self.module.walked.scopes.get(id(node))
            if inner is not None:
                for name, bindings in inner.names.items():
                    self.locals.setdefault(name, bindings)
        skipped: set[int] = set()
        for node in nodes:
            if id(node) in skipped:
                continue
            if isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, ast.Subscript):
                self._subscript(node)
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                self._read(node, skipped)
        return self.found

    def _nodes(self) -> list[ast.AST]:
        """The nodes of the body in the order of the text; decorators and annotations left out."""
        body: Sequence[ast.AST] = [self.code.body] if isinstance(self.code, ast.Lambda) else self.code.body
        found: list[ast.AST] = []
        pending = list(reversed(body))
        while pending:
            node = pending.pop()
            found.append(node)
            if isinstance(node, ast.Constant):
                continue
            pending.extend(children(node)[::-1])
        return found

    def _effect(self, what: str, node: ast.expr) -> Effect:
        return Effect(what, self.module.file.place_of(node))

    # names -------------------------------------------------------------------------------------------------

    def _read(self, node: ast.Name | ast.Attribute, skipped: set[int]) -> None:
        chain = dotted(node)
        if not chain:
            return
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            inner = inner.value
            skipped.add(id(inner))
        if self._is_local(chain[0]):
            return
        found = self._origin(chain)
        if found is None:
            return
        home, bindings = found
        self._named(chain, node, home, bindings)

    def _is_local(self, name: str) -> bool:
        bindings = self.locals.get(name)
        return bindings is not None and not any(item.how is Bound.IMPORT for item in bindings)

    def _origin(self, chain: tuple[str, ...]) -> tuple[Scope, list[Binding]] | None:
        if chain[0] in self.locals:
            return self.own, self.locals[chain[0]]
        return self.scope.find(chain[0])

    def _named(self, chain: tuple[str, ...], node: ast.expr, home: Scope, bindings: list[Binding]) -> None:
        imports = [item for item in bindings if item.how is Bound.IMPORT]
        if imports:
            for binding in imports:
                for target in self.project.imported(self.module, binding, chain[1:]):
                    self._imported(target, node)
            return
        if any(item.how in (Bound.DEF, Bound.CLASS) for item in bindings):
            for target in self.project.resolve(self.module, home, chain[:1]):
                if isinstance(target, Defined) and target.node is not self.code:
                    self.found.helpers.append(target)
                    self.found.helper_names.append(chain[0])
            return
        if home.parent is None:
            self.found.globals.append(chain[0])
            self._aliased(chain, home)
        elif not isinstance(home.node, ast.ClassDef) and home is not self.own:
            self.found.closure.append(chain[0])

    def _aliased(self, chain: tuple[str, ...], home: Scope) -> None:
        """A global that is another name of a function."""
        for target in self.project.resolve(self.module, home, chain):
            if isinstance(target, Defined):
                self.found.helpers.append(target)

    def _imported(self, target: object, node: ast.expr) -> None:
        if isinstance(target, Named):
            top = target.name.lstrip(".").partition(".")[0]
            if is_airflow(target.name):
                self.found.signs = True
                self._of_airflow(target.name, node)
            elif target.name.startswith("."):
                self.found.modules.append(target.name)
                self.found.followed = False
            elif top not in sys.stdlib_module_names and top != "stepbridge":
                self.found.distributions.append(top)
        elif isinstance(target, Whole):
            self.found.modules.append(target.module.name)
        elif isinstance(target, Defined):
            self.found.modules.append(target.module.name)
            self.found.helpers.append(target)
        else:
            module = getattr(target, "module", None)
            if isinstance(module, Module):
                self.found.modules.append(module.name)

    def _of_airflow(self, name: str, node: ast.expr) -> None:
        parts = name.split(".")
        if any(part in _HANDLED or part.endswith("Hook") for part in parts):
            return
        if parts[-1] == "utcnow" or parts[1:2] == ["macros"]:
            return
        self.found.airflow.append(self._effect(name, node))

    # calls -------------------------------------------------------------------------------------------------

    def _qualified(self, node: ast.expr) -> str:
        """The full name of what is called, where it comes from outside of the project."""
        chain = dotted(node)
        if not chain:
            return ""
        if chain not in self._memo:
            self._memo[chain] = self._outside(chain)
        return self._memo[chain]

    def _outside(self, chain: tuple[str, ...]) -> str:
        if self._is_local(chain[0]):
            return ""
        found = self._origin(chain)
        if found is None:
            return chain[0] if len(chain) == 1 and chain[0] in _BUILTINS else ""
        for binding in found[1]:
            if binding.how is Bound.IMPORT:
                for target in self.project.imported(self.module, binding, chain[1:]):
                    if isinstance(target, Named):
                        return target.name
        return ""

    def _call(self, node: ast.Call) -> None:
        name = self._qualified(node.func)
        if name:
            self._by_name(name, node)
        if isinstance(node.func, ast.Attribute):
            self._by_method(node, node.func, name)

    def _by_name(self, name: str, node: ast.Call) -> None:
        last = name.rpartition(".")[2]
        if name in ("open", "io.open"):
            self.found.files.append(self._effect(self._shown("open", node), node))
        elif name == "os.getenv" or name.startswith("os.environ."):
            self._variable(node.args[0] if node.args else None)
        elif _RANDOM.match(name):
            self.found.random.append(self._effect(name, node))
        elif _FILES.match(name):
            self.found.files.append(self._effect(self._shown(name, node), node))
        elif _WRITES.match(name):
            self.found.writes.append(self._effect(name, node))
        elif is_airflow(name) and (last.endswith("Hook") or ".BaseHook." in name):
            self.found.hooks.append(self._effect(last if last.endswith("Hook") else f"BaseHook.{last}", node))

    def _by_method(self, node: ast.Call, function: ast.Attribute, name: str) -> None:
        method = function.attr
        if method == "xcom_push":
            given = next((word.value for word in node.keywords if word.arg == "key"), None)
            given = given or (node.args[0] if node.args else None)
            self.found.pushes.append(given.value if _is_text(given) else "*")  # type: ignore[union-attr]
        elif name and not is_airflow(name):
            return
        elif method in _FILE_METHODS and not isinstance(function.value, ast.Constant):
            self.found.files.append(self._effect(self._shown(f".{method}", node), node))
        elif method in _SQL_METHODS and node.args and _is_text(node.args[0]):
            if _DML.match(node.args[0].value):  # type: ignore[attr-defined]
                self.found.writes.append(self._effect(f"{_short(function)} {_verb(node.args[0])}", node))
        elif method in _WRITE_METHODS and _short(function.value) not in _READ_OWNERS:
            self.found.writes.append(self._effect(_short(function), node))

    def _shown(self, name: str, node: ast.Call) -> str:
        first = node.args[0] if node.args else None
        if first is None:
            return name
        text = self.module.file.cut(self.module.file.span(first))
        return f"{name}({text})" if len(text) <= _SHOWN and "\n" not in text else f"{name}(...)"

    def _subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.ctx, ast.Load) and self._qualified(node.value) == "os.environ":
            self._variable(node.slice)

    def _variable(self, node: ast.expr | None) -> None:
        self.found.environment.append(node.value if _is_text(node) else "*")  # type: ignore[union-attr]


def _is_text(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _short(node: ast.expr) -> str:
    chain = dotted(node)
    if chain:
        return ".".join(chain)
    if isinstance(node, ast.Attribute):
        return f"{_short(node.value)}.{node.attr}"
    if isinstance(node, ast.Call):
        return f"{_short(node.func)}()"
    return "..."


def _verb(node: ast.expr) -> str:
    found = _DML.match(str(getattr(node, "value", "")))
    return found.group(2).upper() if found else ""
