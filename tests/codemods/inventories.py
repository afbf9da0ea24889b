"""Writes sites as short text for golden files, and scans pieces of source."""

from __future__ import annotations

from pathlib import Path

from stepbridge_migrate.facts.file import sites_of
from stepbridge_migrate.facts.project import Project
from stepbridge_migrate.model import CallableFacts, Effect, Pull, Site
from stepbridge_migrate.source import SourceFile, decode

DAGS = Path(__file__).parent / "dags"


def sites(root: Path, name: str = "dag.py", text: str | bytes | None = None) -> list[Site]:
    """The sites of one file below *root*; *text* is written there first."""
    path = root / name
    if text is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    project = Project(root.resolve())
    return sites_of(project, project.module(path.resolve()))


def source(path: Path) -> SourceFile:
    return decode(path.name, path.read_bytes())


def inventory(found: list[Site], root: Path) -> str:
    """All that a scan says of *found*, with the text of each span."""
    files: dict[str, SourceFile] = {}
    lines: list[str] = []
    for site in found:
        file = files.setdefault(site.path, source(root / site.path))
        lines += _site(site, file)
        if site.callable is not None:
            lines += [f"    {line}" for line in _callable(site.callable)]
        lines += [f"    takes {_pull(pull)}" for pull in site.upstream_pulls]
        lines += [f"    read by {item.task} ({item.how} {item.key}) at {item.place}" for item in site.readers]
        lines.append("")
    return "\n".join(lines)


def _site(site: Site, file: SourceFile) -> list[str]:
    dag = site.dag
    body = ""
    if dag.body is not None:
        body = f" lines {file.place(dag.body.start).line}-{file.place(dag.body.end).line}"
    name = f"{dag.pattern or '?'} variable={dag.variable or '-'}"
    first = [
        f"{site.place} {site.id}",
        f"    {site.kind.value} {site.operator or '?'} as {site.local}, {site.state.value}",
        f"    ids {list(site.task.ids)}{'' if site.task.complete else ' and more'}, text {site.task.text}",
        f"    DAG {dag.how} {name}{body}{' native' if dag.native else ''}",
        f"    made {'+'.join(item.value for item in site.making)}",
    ]
    if site.elsewhere:
        first.append(f"    called at {', '.join(map(str, site.elsewhere))}")
    if dag.default_args:
        shown = ", ".join(f"{item.name}={item.value}" for item in dag.default_args)
        first.append(f"    default_args {shown}")
    for name in ("mapped", "group", "variable", "marks"):
        value = getattr(site, name)
        if value:
            first.append(f"    {name} {sorted(value) if isinstance(value, frozenset) else value}")
    for item in (*site.arguments, *site.mapped_arguments):
        shown = " ".join(file.cut(item.span).split())
        common = (
            f" = {', '.join(f'{one.name}={one.value}' for one in item.common)}" if item.star == "**" else ""
        )
        first.append(f"    {'literal ' if item.literal else ''}{shown}{common}")
    return first


def _callable(facts: CallableFacts) -> list[str]:
    names = ", ".join(
        f"{item.kind[:3]}:{item.name}{f': {item.annotation}' if item.annotation else ''}"
        f"{f' = {item.default}' if item.default is not None else ''}"
        for item in facts.parameters
    )
    lines = [f"calls {facts.text} ({facts.form.value}) {facts.name or '?'} at {facts.definition}({names})"]
    for name in sorted(vars(facts)):
        value = getattr(facts, name)
        if name in ("text", "form", "name", "definition", "parameters") or not value:
            continue
        shown = value
        if isinstance(value, tuple):
            shown = ", ".join(_item(item) for item in value)
        lines.append(f"  {name}: {shown}")
    return lines


def _item(item: object) -> str:
    if isinstance(item, Effect):
        return f"{item.what} ({item.place.path}:{item.place.line})"
    return _pull(item) if isinstance(item, Pull) else str(item)


def _pull(pull: Pull) -> str:
    ids = "any" if pull.task_ids is None else "+".join(pull.task_ids)
    rest = f" of {'+'.join(pull.producers)}" if pull.producers else ""
    how = ("" if pull.literal else " computed") + (" elsewhere" if pull.elsewhere else "")
    return f"{ids}[{pull.key}]{how}{rest}"
