"""What a run needs, worked out on the worker before anything runs: inputs, code, context, cache key."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepbridge.cache.key import Key, build_key
from stepbridge.contract import CodeRef, ContextData, Inline, Pull, Value
from stepbridge.failures import OperatorProblem
from stepbridge.interface import Interface
from stepbridge_airflow import arguments, bindings, compat, context, environment, options, pod_parts
from stepbridge_airflow.config import Settings
from stepbridge_airflow.inputs import Encoder, content_of_paths

if TYPE_CHECKING:
    from stepbridge.code.slicing import Slice


@dataclass(frozen=True)
class Plan:
    """All of a run that does not depend on the attempt.

    :param slice: what is shipped; None for ``code="image"``.
    :param variables: names of the Variables that the step may read, :param connections: and of connections.
    :param values: ``AIRFLOW_VAR_*`` and ``AIRFLOW_CONN_*`` for the step's process; never written down.
    :param key: None where the cache is off.
    """

    step: str
    interface: Interface
    args: tuple[Value, ...]
    kwargs: Mapping[str, Value]
    captured: Mapping[str, Value]
    context: ContextData | None
    slice: Slice | None
    code: CodeRef
    variables: tuple[str, ...]
    connections: tuple[str, ...]
    values: Mapping[str, str] = field(repr=False)
    key: Key | None


class Planner:
    """Makes the plan of one task instance.

    :param operator: the step operator.
    :param airflow: Airflow's context.
    """

    def __init__(
        self, operator: Any, airflow: Mapping[str, Any], settings: Settings, encoder: Encoder
    ) -> None:
        self._operator = operator
        self._airflow = airflow
        self._settings = settings
        self._encoder = encoder
        self._step: options.StepOptions = operator.step
        self._place = f"task {operator.task_id!r}"
        self._function = arguments.plain_function(operator.python_callable)
        self._cached = self._step.cache != "off"

    def plan(self) -> Plan:
        """The plan.

        :raises StepbridgeError: where the code cannot be shipped, an input cannot be stored, a binding cannot
            be resolved, or the step cannot be cached as declared.
        """
        interface = Interface.of(self._function)
        given = self._arguments()
        self._warn_of_strangers()
        args, kwargs = self._encoded(given, interface)
        names = frozenset(one.name for one in (*given.args, *given.kwargs))
        found = self._slice(names)
        for report in found.reports if found else ():
            self._operator.log.info("%s", report)
        for place in found.reads.outside if found and self._cached else ():
            self._operator.log.warning(
                "the cache key does not see all that the step reads: %s. Next: pass it as an argument, or "
                "declare it: environment={...} for a variable, files=[...] for a file beside the code",
                place,
            )
        data = self._context(found, given, names)
        named = self._named(found, given)
        variable_names = sorted({*self._step.variables, *named.variables})
        variables = environment.variables_of(variable_names)
        connections = sorted({*self._step.connections, *named.connections})
        captured = {
            name: self._encoder.plain(value, place=f"captured {name!r}")
            for name, value in (found.captured if found else {}).items()
        }
        step = self._step.step_id or f"{self._operator.dag_id}.{self._operator.task_id}"
        inputs = {**dict(zip((one.name for one in given.args), args, strict=True)), **kwargs}
        return Plan(
            step=step,
            interface=interface,
            args=args,
            kwargs=kwargs,
            captured=captured,
            context=data,
            slice=found,
            code=self._code(found, captured),
            variables=tuple(variable_names),
            connections=tuple(connections),
            values=environment.values_of(variables, connections),
            key=self._key(step, interface, found, {**inputs, **_prefixed(captured)}, data, variables, named),
        )

    # code --------------------------------------------------------------------------------------------

    def _slice(self, given: frozenset[str]) -> Slice | None:
        if self._step.code == "image":
            return None
        from stepbridge.code.slicing import slice_callable

        file = Path(self._operator.dag.fileloc)
        bundle = compat.bundle_folder(self._airflow.get("ti"))
        roots = (
            *compat.code_folders(),
            *([bundle] if bundle else []),
            *self._settings.roots,
            *(file.parent / root for root in self._step.roots),
        )
        return slice_callable(
            self._operator.python_callable,
            source_file=file,
            roots=tuple(dict.fromkeys(root for root in roots if root.is_dir())),
            files=self._step.files,
            given=given,
        )

    def _code(self, found: Slice | None, captured: Mapping[str, Value]) -> CodeRef:
        if found is not None:
            return CodeRef(
                source="bundle",
                entry=found.entry,
                digest=found.digest,
                scope=found.is_scope,
                captured=captured,
            )
        module, name = self._function.__module__, self._function.__qualname__
        if "<" in name or module.startswith("unusual_prefix_"):
            raise OperatorProblem(
                "SB502",
                f"code='image' needs a function that the image can import, and this one is {module}:{name}",
                place=self._place,
                hint="move it to the top level of an installed module, or use code='ship'",
            )
        return CodeRef(source="image", entry=f"{module}:{name}", digest="")

    # inputs ------------------------------------------------------------------------------------------

    def _arguments(self) -> arguments.Arguments:
        operator = self._operator
        bound_args, bound_kwargs = arguments.bound(operator.python_callable)
        return arguments.name_arguments(
            self._function,
            [*bound_args, *bindings.resolve(list(operator.op_args or ()), self._airflow)],
            {**bound_kwargs, **bindings.resolve(dict(operator.op_kwargs or {}), self._airflow)},
            place=self._place,
        )

    def _warn_of_strangers(self) -> None:
        """Name what no parameter takes: most often it is a typing error, and nothing else would tell."""
        for option, names in (
            ("op_kwargs", self._operator.op_kwargs or {}),
            ("ignore", self._step.ignore if self._cached else ()),
        ):
            for name in arguments.strangers(self._function, names, place=self._place):
                self._operator.log.warning(
                    "%s names %r, which is no parameter of %s, so it has no effect. "
                    "Next: correct the name, or leave it out",
                    option,
                    name,
                    arguments.place_of(self._function),
                )

    def _encoded(
        self, given: arguments.Arguments, interface: Interface
    ) -> tuple[tuple[Value, ...], dict[str, Value]]:
        collecting = next((one for one in interface.parameters if one.kind == "args"), None)

        def encoded(one: arguments.Named) -> Value:
            annotation = interface.annotation(one.parameter)
            if one.name.startswith("*") and collecting is not None:
                annotation = collecting.annotation
            return self._encoder.encode(one.value, annotation, place=f"{self._place}, parameter {one.name!r}")

        return tuple(map(encoded, given.args)), {one.name: encoded(one) for one in given.kwargs}

    # context -----------------------------------------------------------------------------------------

    def _context(
        self, found: Slice | None, given: arguments.Arguments, names: frozenset[str]
    ) -> ContextData | None:
        parameters = arguments.parameters_of(self._function, place=self._place)
        wild = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
        in_signature = arguments.takes_context(self._function, names)
        reads = found.reads if found is not None else None
        pulls = self._pulls(found, given)
        read = reads.context_keys if reads else frozenset()
        if not (read or pulls or in_signature or wild or reads is None or self._step.context_keys):
            return None
        if self._cached:
            self._check_cacheable(found)
        return ContextData(
            values={
                key: self._encoder.plain(value, place=f"context[{key!r}]")
                for key, value in sorted(self._values(found, read | in_signature).items())
            },
            pulls=pulls,
            complete=not self._cached,
            names=tuple(sorted(str(key) for key in self._airflow)),
        )

    def _values(self, found: Slice | None, read: frozenset[str]) -> dict[str, Any]:
        """The plain context: all of it, or with a cache what the function reads and what is declared.

        Of Airflow's objects only the attributes that the code reads count: a whole ``dag_run`` is always new.
        """
        templates = bindings.resolve(self._operator.templates_dict, self._airflow)
        source = {**self._airflow, "templates_dict": templates}
        declared = tuple(self._step.context_keys or ())
        if not self._cached:
            return {**context.collect(source, None), **context.collect(source, sorted(read | {*declared}))}
        values = context.collect(source, sorted((read - context.PARTS.keys()) | {*declared}))
        attributes = {*(found.reads.attributes if found else ()), *(key for key in declared if "." in key)}
        return {**values, **context.parts(source, attributes, whole=frozenset(declared))}

    def _check_cacheable(self, found: Slice | None) -> None:
        if self._step.context_keys is not None:
            return
        reasons = list(found.reads.escapes) if found is not None else ["the code lies in the image"]
        if reasons:
            raise OperatorProblem(
                "SB601",
                "it cannot be told which parts of Airflow's context the step reads: the context goes into "
                "code that is not followed at " + "; ".join(reasons),
                place=self._place,
                hint="name the keys that count, context_keys=['ds', ...], or set cache='off'",
            )

    def _pulls(self, found: Slice | None, given: arguments.Arguments) -> tuple[Pull, ...]:
        """Every pull of the code whose task and key are known, answered now."""
        from stepbridge.code.reads import Unresolved

        answered: dict[tuple[tuple[str, ...], bool, str], Value] = {}
        for call in found.reads.pulls if found is not None else ():
            if call.options:
                continue
            try:
                pull = call.resolve(self._natives(given, call.context))
            except Unresolved as error:
                if self._cached:
                    raise OperatorProblem(
                        "SB505",
                        f"the pull needs {error}, which is no argument and no plain key of the context",
                        place=call.place,
                        hint="bind it as an argument, from_xcom(...), or set cache='off'",
                    ) from error
                continue
            key = (pull.task_ids, pull.single, pull.key)
            if key not in answered:
                answered[key] = self._pull(*key)
        return tuple(Pull(tasks, single, key, value) for (tasks, single, key), value in answered.items())

    def _pull(self, tasks: tuple[str, ...], single: bool, key: str) -> Value:
        asked = None if not tasks else tasks[0] if single else list(tasks)
        raw = bindings.resolve_lazy(self._airflow["ti"].xcom_pull(task_ids=asked, key=key))
        return self._encoder.plain(raw, place=f"xcom_pull({asked!r}, key={key!r})")

    # variables and connections -----------------------------------------------------------------------

    def _natives(self, given: arguments.Arguments, keys: Sequence[str]) -> dict[str, Any]:
        """What may stand in names in the code: defaults, the context under *keys*, the arguments."""
        return {
            **arguments.defaults(self._function),
            **context.collect(self._airflow, keys),
            **{one.name: one.value for one in (*given.args, *given.kwargs)},
        }

    def _named(self, found: Slice | None, given: arguments.Arguments) -> _Named:
        """The Variables and connections that the code names, by itself or by its arguments."""
        from stepbridge.code.reads import Unresolved

        if found is None:
            return _Named()
        names = {"variable": set(found.reads.variables), "connection": set(found.reads.connections)}
        unknown = []
        for one in found.reads.lookups:
            try:
                name = one.resolve(self._natives(given, one.context))
            except Unresolved as error:
                unknown.append(f"{one.place}: {one.what}, and {error} is no argument that is text")
            else:
                names[one.kind] |= {name} - {""}
        return _Named(
            frozenset(names["variable"]), frozenset(names["connection"]), (*found.reads.dynamic, *unknown)
        )

    # the key -----------------------------------------------------------------------------------------

    def _key(
        self,
        step: str,
        interface: Interface,
        found: Slice | None,
        inputs: Mapping[str, Value],
        data: ContextData | None,
        variables: Mapping[str, str],
        named: _Named,
    ) -> Key | None:
        if not self._cached:
            return None
        in_pods = self._settings.in_pods(self._step.backend)
        image = pod_parts.image_of(self._operator, self._settings) if in_pods else ""
        if found is None and not image.startswith("sha256:"):
            raise OperatorProblem(
                "SB601",
                "with code='image' nothing but the image's digest says which code runs",
                place=self._place,
                hint="name the image of a pod by its digest, image='name@sha256:...', use code='ship', or "
                "set cache='off'",
            )
        self._check_declared(named)
        inputs = {**inputs, **self._paths(inputs)}
        pulled = {
            f"xcom_pull({','.join(pull.task_ids)}|{pull.key}|{pull.single})": pull.value
            for pull in (data.pulls if data else ())
        }
        return build_key(
            step=step,
            interface=interface.describe(),
            inputs=inputs,
            code=found.digest if found is not None else image,
            parts=found.parts if found is not None else {},
            requires=found.requires if found is not None else {},
            image=image,
            environment=self._step.environment,
            version=self._step.cache_version,
            salt=self._step.salt,
            context={**(data.values if data else {}), **pulled},
            variables=variables,
            ignore=self._step.ignore,
        )

    def _paths(self, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """What lies at local paths among *inputs*: their names alone say nothing of what the step reads."""
        found = {
            f"{name}:content": content_of_paths(value, place=f"{self._place}, parameter {name!r}")
            for name, value in inputs.items()
            if name not in self._step.ignore
        }
        return {name: Inline("json", content) for name, content in found.items() if content}

    def _check_declared(self, named: _Named) -> None:
        declared = self._step.variables or self._step.connections or self._step.context_keys is not None
        if named.unknown and not declared:
            raise OperatorProblem(
                "SB601",
                "the step reads what is named only when it runs: " + "; ".join(named.unknown),
                place=self._place,
                hint="name it in the code; or declare the Variables, connections and context keys it can be, "
                "variables=[...], connections=[...], context_keys=[...]; or set cache='off'",
            )


@dataclass(frozen=True)
class _Named:
    """The names of Variables and connections, and the places whose names are not known."""

    variables: frozenset[str] = frozenset()
    connections: frozenset[str] = frozenset()
    unknown: tuple[str, ...] = ()


def _prefixed(captured: Mapping[str, Value]) -> dict[str, Value]:
    return {f"captured:{name}": value for name, value in captured.items()}
