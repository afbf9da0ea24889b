"""What becomes of the arguments by which the old classes made their environments: shared by several rules."""

from __future__ import annotations

from collections.abc import Iterator

from stepbridge_migrate.model import Argument, Finding, Needs, Site
from stepbridge_migrate.rules.judging import constant, is_template, named
from stepbridge_migrate.rules.rule import Rewrite

_REQUIRED = ("requirements",)
_LEFT_OUT = (
    "system_site_packages", "pip_install_options", "index_urls", "index_urls_from_connection_ids",
    "venv_cache_path", "serializer", "use_dill", "expect_airflow", "expect_pendulum", "use_airflow_context",
)  # fmt: skip
_OTHERS = ("python_version", "string_args", "env_vars", "inherit_env")
HANDLED = frozenset({*_REQUIRED, *_LEFT_OUT, *_OTHERS})
"""Arguments of PythonVirtualenvOperator and its relatives that a step has other words for, or none."""


def judge(site: Site, needs: Needs) -> list[Finding]:
    """What there is to say of the arguments that make an environment."""
    return [one for item, _ in named(site) for one in _one(site, item, needs)]


def _one(site: Site, item: Argument, needs: Needs) -> Iterator[Finding]:
    name, value = item.name or "", constant(item)
    shown = f"{name}={' '.join(item.value.split())[:80]}"
    placed = needs.image is not None or "python" in needs.arguments
    if name in _REQUIRED:
        if value not in ([], (), "", None) and not placed:
            hint = "name the image: --image NAME" if site.dag.id else ""
            yield Finding("SM301", f"{shown} is left out", item.place, hint)
        elif value not in ([], (), "", None):
            yield Finding("SM301", f"{shown} is left out", item.place)
    elif name == "python_version" and value is not None:
        yield Finding("SM302", f"{shown} is left out", item.place)
    elif name in _LEFT_OUT:
        yield Finding("SM313", f"{shown} is left out", item.place)
    elif name == "string_args" and value not in ([], (), None):
        yield Finding("SM225", shown, item.place)
    elif name == "inherit_env" and value is not True:
        yield Finding("SM315", f"{shown} is left out", item.place)
    elif (name == "env_vars" and is_template(item)) or (name == "python" and is_template(item)):
        yield Finding("SM227", f"{shown} is a template", item.place)


def left_out(site: Site) -> list[Argument]:
    """The arguments that a step's call does not have."""
    return [one for one, common in named(site) if not common and one.name in HANDLED - {"env_vars"}]


def renamed(site: Site, old: str, new: str) -> list[tuple[Argument, str]]:
    """*old* under its new name, where the call has it."""
    return [(one, f"{new}={one.value}") for one, common in named(site) if one.name == old and not common]


def rewrite(site: Site) -> Rewrite:
    """The call without what made the environment; its variables are the step's ``environment``."""
    return Rewrite(
        drop=(*left_out(site), *no_ops(site)),
        replace=tuple(renamed(site, "env_vars", "environment")),
    )


def no_ops(site: Site) -> list[Argument]:
    """Arguments that have meant nothing since Airflow 2."""
    return [one for one, common in named(site) if not common and one.name == "provide_context"]
