"""What is known of a project's tasks and what is to be done: the records all parts of ``migrate`` share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Disposition(StrEnum):
    """What ``migrate`` can do with a site; from the best to the worst."""

    AUTO = "AUTO"
    """An edit is made, and nothing about it needs a person."""
    WARN = "WARN"
    """An edit is made; a person should know or add something."""
    KEEP = "KEEP"
    """The task does no work of its own, or another service's: it stays in Airflow."""
    REFUSE = "REFUSE"
    """No edit is made; the finding says what to change first."""


class Kind(StrEnum):
    """What makes the task, in the words of Airflow."""

    PYTHON = "PythonOperator"
    VIRTUALENV = "PythonVirtualenvOperator"
    EXTERNAL = "ExternalPythonOperator"
    TASK = "@task"
    TASK_VIRTUALENV = "@task.virtualenv"
    TASK_EXTERNAL = "@task.external_python"
    TASK_KUBERNETES = "@task.kubernetes"
    TASK_DOCKER = "@task.docker"
    STEP = "StepOperator"
    TASK_STEP = "@task.step"
    BRANCH = "branch"
    SHORT_CIRCUIT = "short circuit"
    SENSOR = "sensor"
    EMPTY = "empty"
    OPERATOR = "operator"
    """Any other operator, of a provider or the project's own."""
    UNKNOWN = "unknown"
    """It looks like a task, and what makes it cannot be told from the source."""


MOVABLE = frozenset(
    {
        Kind.PYTHON,
        Kind.VIRTUALENV,
        Kind.EXTERNAL,
        Kind.TASK,
        Kind.TASK_VIRTUALENV,
        Kind.TASK_EXTERNAL,
        Kind.TASK_KUBERNETES,
        Kind.TASK_DOCKER,
    }
)
"""Kinds that a rule edits."""


class State(StrEnum):
    """How far a site has been moved."""

    LEGACY = "legacy"
    SHADOW = "shadow"
    CUTOVER = "cutover"


@dataclass(frozen=True, order=True)
class Place:
    """A place in a file.

    :param path: relative to the project's root, POSIX.
    :param line: from 1.
    :param column: from 1, in characters.
    """

    path: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, order=True)
class Span:
    """A piece of a file's text: character offsets, ``end`` exclusive; newlines as the file has them."""

    start: int
    end: int


@dataclass(frozen=True)
class Finding:
    """One thing to say of a site.

    :param code: a code of :data:`stepbridge_migrate.codes.CODES`, which says the disposition it leads to.
    :param message: what is there, with its names.
    :param hint: what to do; empty where the code's page says it all.
    """

    code: str
    message: str
    place: Place
    hint: str = ""


@dataclass(frozen=True)
class Argument:
    """One argument of a call as it stands in the source.

    :param name: None for a positional argument and for ``**mapping``.
    :param value: the source text of the value.
    :param span: of the whole argument, ``name=value``, without its comma.
    :param star: ``""``, ``"*"`` or ``"**"``.
    :param literal: the value is a constant (or a literal list, tuple, dict of constants); for ``**mapping``:
        the mapping is one literal whose entries are in ``common``.
    :param common: the entries of ``**mapping`` by name; their span is that of the ``**`` argument, as edits
        leave the mapping alone, their place is where the value stands.
    """

    name: str | None
    value: str
    span: Span
    place: Place
    star: str = ""
    literal: bool = False
    common: tuple[Argument, ...] = ()


@dataclass(frozen=True)
class TaskName:
    """The id of the task or tasks that a site makes.

    :param text: the source text of ``task_id``; for ``@task`` the function's name in quotes.
    :param ids: the ids, with their groups' prefix, where the source says them; several for a loop or for a
        decorated function that is called more than once.
    :param pattern: a glob that fits all ids: ``load_*`` for ``f"load_{name}"``; equal to the id where there
        is one.
    :param complete: ``ids`` are all there are.
    """

    text: str
    ids: tuple[str, ...]
    pattern: str
    complete: bool


class Making(StrEnum):
    """How often and where the call is made."""

    PLAIN = "plain"
    LOOP = "loop"
    COMPREHENSION = "comprehension"
    FACTORY = "factory"
    """Inside a function that makes the DAG or the task, other than with ``@dag`` and ``@task_group``."""
    CONDITIONAL = "conditional"


@dataclass(frozen=True)
class Pull:
    """One ``xcom_pull`` in a callable, or one XCom in an argument or a template.

    :param task_ids: None where the call names no task; the source text where ``literal`` is False.
    :param producers: sites of the same DAG that have such an id: ``DAG.TASK``.
    """

    task_ids: tuple[str, ...] | None
    key: str
    place: Place
    literal: bool = True
    producers: tuple[str, ...] = ()
    elsewhere: bool = False
    """It asks for another DAG, earlier runs, another run or map index: a step's pulls cannot."""


class Form(StrEnum):
    """What stands for the task's callable."""

    FUNCTION = "function"
    """A function of the same file."""
    IMPORTED = "imported"
    NESTED = "nested"
    METHOD = "method"
    """A static or class method, by its class."""
    BOUND = "bound method"
    """A method of an object, or an object that is called."""
    LAMBDA = "lambda"
    PARTIAL = "partial"
    CALL = "call"
    """What another call gives: ``make(x)``."""
    PARAMETER = "parameter"
    """A parameter of the factory or a loop's variable."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a callable; ``kind`` is ``inspect``'s word, ``**kwargs`` being ``VAR_KEYWORD``."""

    name: str
    kind: str
    annotation: str = ""
    default: str | None = None


@dataclass(frozen=True)
class Effect:
    """Something a callable touches outside of its arguments, and where.

    :param what: the name or the call: ``requests.post``, ``/tmp/rows.csv``, ``S3Hook.load_file``.
    """

    what: str
    place: Place


@dataclass(frozen=True)
class Handed:
    """An argument of a callable that is an object of the DAG file.

    :param what: its text, and what it is: ``Customers, a class``.
    :param certain: no codec takes it; else it is made by a class of a library, which few codecs take.
    """

    what: str
    place: Place
    certain: bool = True


@dataclass(frozen=True)
class CallableFacts:
    """What the source says of a task's callable, helpers of the project included where ``followed``.

    :param text: the source text of the callable in the call; the function's name for ``@task``.
    :param name: the function's qualified name, ``module:name``; empty where it is not known.
    :param definition: where it is defined; None where that was not found.
    :param whole_context: the places where the context as a whole goes to code that cannot be followed.
    :param returns: it gives a value other than None somewhere.
    :param annotation: of what it returns; empty where there is none.
    :param modules: first-party modules it uses, dotted.
    :param distributions: top-level third-party imports it uses.
    :param followed: every function of the project that it calls was read too.
    """

    text: str
    form: Form
    name: str = ""
    definition: Place | None = None
    parameters: tuple[Parameter, ...] = ()
    annotation: str = ""
    returns: bool = False
    is_async: bool = False
    is_generator: bool = False
    table: bool = False
    """What it returns is a table or an array, as far as the source shows."""
    decorators: tuple[str, ...] = ()
    context_keys: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    """What is read of objects of the context: ``dag.tasks``, ``ti.try_number``."""
    whole_context: tuple[Effect, ...] = ()
    pulls: tuple[Pull, ...] = ()
    pushes: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    dynamic: tuple[Effect, ...] = ()
    """Variables and connections named at run time."""
    hooks: tuple[Effect, ...] = ()
    airflow: tuple[Effect, ...] = ()
    """Other use of Airflow: sessions, models, exceptions, operators' ``execute``."""
    globals: tuple[str, ...] = ()
    closure: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    files: tuple[Effect, ...] = ()
    writes: tuple[Effect, ...] = ()
    random: tuple[Effect, ...] = ()
    """Clock, random numbers, uuid: what makes two runs differ."""
    followed: bool = True
    raises: Place | None = None
    """Where it raises after it pushed an XCom."""


@dataclass(frozen=True)
class Reader:
    """Another task that takes this one's result.

    :param task: ``DAG.TASK`` of the reader.
    :param how: ``xcom_pull``, ``argument``, ``template``, ``expand``.
    :param key: ``return_value`` or the key.
    """

    task: str
    how: str
    key: str
    place: Place


@dataclass(frozen=True)
class DagScope:
    """The DAG a site belongs to, and how the source says so.

    :param id: empty where the source does not say it.
    :param how: ``with``, ``argument`` (``dag=``), ``decorator`` (``@dag``), ``variable`` (``with dag:``),
        ``none``.
    :param variable: the name that the DAG has where the site stands; empty where it has none.
    :param body: from the first to the end of the last statement of the ``with`` block or function whose end
        is the end of the DAG; None for ``dag=`` at module level: the end of the file. None too where the DAG
        is made in another file than the site.
    :param pattern: a glob that fits the ids of all DAGs that the site's tasks are in; equal to the id where
        there is one.
    :param ids: the ids that the source says, several for DAGs made in a loop or by a factory.
    :param default_args: the entries of the DAG's ``default_args`` where they are one literal mapping.
    :param native: ``render_template_as_native_obj=True``.
    """

    id: str
    how: str
    variable: str = ""
    place: Place | None = None
    body: Span | None = None
    pattern: str = ""
    ids: tuple[str, ...] = ()
    default_args: tuple[Argument, ...] = ()
    native: bool = False


@dataclass(frozen=True)
class Site:
    """One call, or one decorated function, in a DAG file that makes tasks.

    :param operator: the qualified name of what makes the task: ``airflow.operators.python.PythonOperator``.
    :param local: the name it has in the file: ``PythonOperator``, ``po``, ``ops.PythonOperator``, ``task``.
    :param name: span of that name in the call (for decorators, of the expression after ``@``).
    :param call: span of the whole call, ``.partial(...).expand(...)`` included (for decorators, of the
        decorator's line after ``@``).
    :param open: offset just after the opening bracket of the call that takes the operator's arguments; None
        for a bare decorator.
    :param calls: for decorated functions the spans of the calls that make tasks.
    :param mapped: ``expand``, ``expand_kwargs`` or empty.
    :param group: the ids of the task groups around, outermost first; ``?`` for one that is not literal.
    :param state: what the source says: a step already, a shadow beside it, or neither.
    :param marks: other traits: ``setup``, ``teardown``, ``in_class``, ``generated``.
    """

    path: str
    dag: DagScope
    task: TaskName
    kind: Kind
    operator: str
    local: str
    place: Place
    name: Span
    call: Span
    open: int | None
    arguments: tuple[Argument, ...]
    making: tuple[Making, ...] = (Making.PLAIN,)
    mapped: str = ""
    mapped_arguments: tuple[Argument, ...] = ()
    group: tuple[str, ...] = ()
    variable: str = ""
    calls: tuple[Span, ...] = ()
    callable: CallableFacts | None = None
    readers: tuple[Reader, ...] = ()
    upstream_pulls: tuple[Pull, ...] = ()
    """XComs that the call's own arguments take: ``a.output``, templates."""
    state: State = State.LEGACY
    marks: frozenset[str] = frozenset()
    elsewhere: tuple[Place, ...] = ()
    """The calls in other files that make the tasks, where the site's own file has none."""
    objects: tuple[Handed, ...] = ()
    """Arguments of the callable that are classes, functions or other objects of the DAG file."""

    @property
    def id(self) -> str:
        """``DAG.TASK``, with a pattern or the file's path where the source does not say the ids.

        Nothing in it changes when other lines of the file do.
        """
        pattern = self.dag.pattern if self.dag.pattern != "*" else ""
        dag = self.dag.id or pattern or self.path
        return f"{dag}.{self.task.pattern}"


@dataclass(frozen=True)
class Judged:
    """A site with its disposition: the worst of its findings', AUTO where there are none."""

    site: Site
    disposition: Disposition
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Inventory:
    """Everything a scan found, in the order of path, line, column.

    :param root: the project's folder, absolute.
    :param files: number of files read.
    :param skipped: files with no DAG in them (prefilter) are not here; files that could not be read are, with
        why.
    """

    root: str
    sites: tuple[Judged, ...]
    files: int
    dag_files: int
    skipped: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Needs:
    """What the step needs beyond what the old call says: from options and ``[tool.stepbridge]``.

    Each is the text that stands in the new call, checked; None leaves it out.
    """

    gpu: str | None = None
    cpu: str | None = None
    memory: str | None = None
    image: str | None = None
    cache: str | None = None
    timeout: str | None = None
    """A duration: ``2h``, ``90m``, ``30s``."""
    backend: str | None = None
    xcom: str | None = None
    context_keys: tuple[str, ...] | None = None
    variables: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Further arguments of the step: name to source text."""


@dataclass(frozen=True, order=True)
class Edit:
    """Put *text* where ``old`` stands: ``[start, start + len(old))`` of the file's text.

    :param shared: an import, which other tasks of the file may need as well.
    """

    start: int
    old: str
    text: str
    shared: bool = False


@dataclass(frozen=True)
class Change:
    """The edits of one file, in order, not overlapping."""

    path: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True)
class Plan:
    """What one command would do to one site.

    :param action: ``shadow``, ``cutover`` or ``rollback``.
    :param changes: empty where the site is refused or has that state already.
    :param findings: warnings and refusals.
    :param missing: facts a person must give: ``image``, ``gpu``, ``types``, ``secrets``.
    """

    action: str
    site: Site
    disposition: Disposition
    changes: tuple[Change, ...]
    findings: tuple[Finding, ...] = ()
    missing: tuple[str, ...] = ()
    rule: str = ""
    """Name and version of the rule that made it: ``python_operator/1``."""


@dataclass(frozen=True)
class Check:
    """One verification of an edit.

    :param name: ``parses``, ``outside-unchanged``, ``stable``, ``inverse``, ``imports``, ``structure``.
    :param status: ``passed``, ``failed`` or ``skipped``.
    :param detail: why it failed or was skipped.
    """

    name: str
    status: str
    detail: str = ""
