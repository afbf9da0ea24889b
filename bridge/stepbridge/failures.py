"""Every error stepbridge raises: a stable code, the place, the cause and the next step."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

Kind = Literal["user", "config", "infra", "oom", "timeout", "preempted", "preflight", "interrupted"]
"""What a failure means for the run; see the table in docs/errors.md."""


class Code(NamedTuple):
    """One stable error code."""

    id: str
    title: str
    kind: Kind


def _table(*codes: Code) -> dict[str, Code]:
    table = {code.id: code for code in codes}
    if len(table) != len(codes):
        raise AssertionError("an error code is declared twice")
    return table


CODES: dict[str, Code] = _table(
    # 1xx: types and interfaces
    Code("SB101", "the annotation is of a type no codec handles", "config"),
    Code("SB102", "no codec takes this value", "user"),
    Code("SB103", "the value does not fit its annotation", "user"),
    Code("SB104", "the value is not valid JSON", "user"),
    Code("SB105", "a value has no canonical encoding", "config"),
    Code("SB106", "the arguments do not fit the function's signature", "config"),
    Code("SB107", "the producer's output type does not fit the consumer's parameter", "config"),
    Code("SB108", "the table cannot be stored without losing something", "user"),
    Code("SB109", "the file or directory cannot be stored", "user"),
    Code("SB110", "the resources are not valid", "config"),
    Code("SB111", "the secret is not valid", "config"),
    # 2xx: code
    Code("SB201", "the callable has no source that can be shipped", "config"),
    Code("SB202", "the callable is of a form that cannot be shipped", "config"),
    Code("SB203", "the code reaches a name that cannot be found", "config"),
    Code("SB204", "the code reaches an Airflow object of the DAG file", "config"),
    Code("SB205", "a captured value cannot be shipped", "config"),
    Code("SB206", "the code cannot be followed to all it reaches", "config"),
    Code("SB207", "the shipped code does not have the digest the request states", "infra"),
    Code("SB208", "a module the code imports is missing where the step runs", "config"),
    Code("SB209", "a declared file is not there", "config"),
    # 3xx: store and artifacts
    Code("SB301", "the URI is not one the store understands", "config"),
    Code("SB302", "the object is not in the store", "infra"),
    Code("SB303", "the object already exists", "infra"),
    Code("SB304", "the object is not what its record says", "infra"),
    Code("SB305", "the store refused or could not be reached", "infra"),
    Code("SB306", "the bucket or folder is not there", "config"),
    Code("SB307", "the store cannot be written", "config"),
    Code("SB308", "the store does not keep conditional writes", "config"),
    Code("SB309", "a manifest or document cannot be read", "infra"),
    Code("SB310", "a name leaves the target directory", "infra"),
    Code("SB311", "the store's settings are not valid", "config"),
    # 4xx: run
    Code("SB401", "the request is not the one that was promised", "infra"),
    Code("SB402", "the step's function raised", "user"),
    Code("SB403", "the step ended its process itself", "user"),
    Code("SB404", "the step ran longer than its timeout", "timeout"),
    Code("SB405", "the step was killed from outside", "interrupted"),
    Code("SB406", "the step ran out of memory", "oom"),
    Code("SB407", "the GPU that was asked for is not there", "preflight"),
    Code("SB408", "the step's process died", "infra"),
    Code("SB409", "the step ended without a result", "infra"),
    Code("SB410", "the runner could not be started", "infra"),
    Code("SB420", "the pod got no node in time", "infra"),
    Code("SB421", "the cluster refused to create the pod", "config"),
    Code("SB422", "the namespace's quota is used up", "infra"),
    Code("SB423", "the image cannot be pulled", "config"),
    Code("SB424", "the registry did not give the image in time", "infra"),
    Code("SB425", "the container cannot be made as the pod declares it", "config"),
    Code("SB426", "an init container failed", "infra"),
    Code("SB427", "the node refused the pod", "infra"),
    Code("SB428", "the pod did not start in time", "infra"),
    Code("SB429", "the pod was evicted from its node", "infra"),
    Code("SB430", "the pod used more scratch disk than its limit", "config"),
    Code("SB431", "the pod's machine was taken away", "preempted"),
    Code("SB432", "the pod's node is gone", "infra"),
    Code("SB433", "the pod was deleted from outside", "infra"),
    Code("SB434", "the cluster's API server refused or could not be reached", "infra"),
    Code("SB435", "the cluster does not allow what the step needs", "config"),
    Code("SB436", "the image has no runner", "config"),
    Code("SB437", "the pod reached its deadline", "timeout"),
    Code("SB438", "the step and its repetitions took longer than the total budget", "timeout"),
    Code("SB439", "the secret cannot be read", "config"),
    # 5xx: operator
    Code("SB501", "the argument belongs to stepbridge", "config"),
    Code("SB502", "the setting is not valid", "config"),
    Code("SB503", "the binding cannot be resolved", "config"),
    Code("SB504", "the context key is not available to a step", "user"),
    Code("SB505", "the XCom pull cannot be resolved before the step starts", "user"),
    Code("SB506", "the connection or variable is not declared", "config"),
    Code("SB507", "the backend is not available", "config"),
    Code("SB510", "the task cannot be shadowed", "config"),
    # 6xx: cache
    Code("SB601", "the step cannot be cached as declared", "config"),
    Code("SB602", "nothing in the store has this name", "user"),
    Code("SB603", "the name fits several records", "user"),
    Code("SB604", "the run has no cache key", "user"),
    Code("SB605", "the run still runs", "user"),
    # 7xx: comparison
    Code("SB701", "the comparison's rule is not valid", "config"),
    Code("SB702", "no comparator has this name", "config"),
    Code("SB703", "the shadow cannot be made", "config"),
    Code("SB704", "one side of the comparison cannot be read", "user"),
)


class StepbridgeError(Exception):
    """Base of all errors: ``code`` is stable, ``kind`` says what the failure means for the run.

    :param code: an id of :data:`CODES`.
    :param cause: what is wrong, with the names and values that show it.
    :param place: where: a file and line, a parameter, a URI.
    :param hint: what to do next.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, code: str, cause: str, *, place: str = "", hint: str = "") -> None:
        self.code = CODES[code]
        self.cause = cause
        self.place = place
        self.hint = hint
        super().__init__(self.describe())

    @property
    def kind(self) -> Kind:
        """What this failure means for the run."""
        return self.code.kind

    def describe(self) -> str:
        """The whole message: ``SB103 at PLACE: CAUSE. Next: HINT``."""
        where = f" at {self.place}" if self.place else ""
        if not self.hint:
            return f"{self.code.id}{where}: {self.cause}"
        stop = "" if self.cause.endswith((".", "!", "?", ":", "\n")) else "."
        return f"{self.code.id}{where}: {self.cause}{stop} Next: {self.hint}"

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the parts when the error crosses a process."""
        return (_rebuild, (type(self), self.code.id, self.cause, self.place, self.hint))


def _rebuild(cls: type[StepbridgeError], code: str, cause: str, place: str, hint: str) -> StepbridgeError:
    return cls(code, cause, place=place, hint=hint)


class TypeProblem(StepbridgeError):
    """A value, annotation or argument does not fit (SB1xx)."""


class CodeProblem(StepbridgeError):
    """A callable cannot be shipped or imported as it is (SB2xx)."""


class StoreProblem(StepbridgeError):
    """The store failed or holds something wrong (SB3xx)."""


class ObjectMissing(StoreProblem):
    """No object lies under this key."""


class ObjectExists(StoreProblem):
    """A conditional write found another object under its key."""


class IntegrityProblem(StoreProblem):
    """Bytes that were read differ from what their record says."""


class RunProblem(StepbridgeError):
    """A run failed (SB4xx)."""


class CacheProblem(StepbridgeError):
    """What was asked of the cache cannot be told (SB602 to SB604)."""


class OperatorProblem(StepbridgeError):
    """A task is declared or bound in a way that cannot work (SB5xx, SB6xx)."""
