"""Short words for a site's traits: how it is made, what it reads, what it needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from stepbridge_migrate.model import CallableFacts, Finding, Kind, Making, Needs, Pull, Site, State
from stepbridge_migrate.report import Counts


def task(site: Site) -> str:
    """The task's id with its groups; a glob or the source text where the ids are not known."""
    return site.task.pattern if site.task.pattern.strip("*") else f"{site.task.pattern} ({site.task.text})"


def made(site: Site) -> str:
    """``loop, 3 ids``, ``factory``, ``expand``: empty for a plain call."""
    words = [str(one) for one in site.making if one is not Making.PLAIN]
    if site.mapped:
        words.append(site.mapped)
    ids = len(site.task.ids)
    if ids > 1:
        words.append(f"{ids} ids")
    words += sorted(site.marks & {"setup", "teardown"})
    if site.state is State.SHADOW:
        words.append("shadowed")
    return ", ".join(words)


def reads(site: Site, *, brief: bool = False) -> tuple[str, ...]:
    """What the callable and the arguments read, one short phrase for each kind.

    :param brief: modules by their last name, files and environment without names.
    """
    facts = site.callable
    phrases = [*_pulls((*(facts.pulls if facts else ()), *site.upstream_pulls))]
    if facts is not None:
        phrases = [*_airflow(facts), *phrases, *(_code_in_brief(facts) if brief else _code(facts))]
    return tuple(phrases)


def needs(given: Needs) -> tuple[str, ...]:
    """``gpu=1``, ``memory=16Gi``: what is set."""
    words = [
        f"{name}={value}"
        for name in ("gpu", "cpu", "memory", "image", "cache", "timeout", "backend", "xcom")
        if (value := getattr(given, name)) is not None
    ]
    for name in ("context_keys", "variables", "connections"):
        value = getattr(given, name)
        if value:
            words.append(f"{name}={','.join(value)}")
    return (*words, *(f"{name}={text}" for name, text in given.arguments.items()))


def codes(findings: Sequence[Finding], path: str) -> tuple[str, ...]:
    """``SM301 :12`` for each code, with all its lines; the name of the file only where it is another."""
    places: dict[str, list[str]] = {}
    for one in findings:
        other = "" if one.place.path == path else PurePosixPath(one.place.path).name
        here = f"{other}:{one.place.line}"
        listed = places.setdefault(one.code, [])
        if here not in listed:
            listed.append(here)
    return tuple(f"{code} {' '.join(lines)}" for code, lines in places.items())


def summary(counts: Counts, *, dags: int) -> str:
    """``12 tasks in 2 DAGs: 8 AUTO, 2 WARN, 1 KEEP, 1 REFUSE``."""
    parts = [
        f"{number} {word}"
        for word, number in (
            ("AUTO", counts.auto),
            ("WARN", counts.warn),
            ("KEEP", counts.keep),
            ("REFUSE", counts.refuse),
            ("moved", counts.moved),
        )
        if number
    ]
    head = f"{plural(counts.sites, 'task site')} in {plural(dags, 'DAG')}"
    return f"{head}: {', '.join(parts)}" if parts else head


def plural(number: int, word: str) -> str:
    """``1 task``, ``2 tasks``."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def is_moved(site: Site) -> bool:
    """The site is a step already."""
    return site.kind in {Kind.STEP, Kind.TASK_STEP}


def pull(one: Pull) -> str:
    """``extract[rows]``: whose XCom under which key; the key is left out where it is the returned value."""
    whose = "?" if one.task_ids is None else ", ".join(one.task_ids)
    return whose if one.key == "return_value" else f"{whose}[{one.key}]"


def _pulls(pulls: Iterable[Pull]) -> list[str]:
    said = dict.fromkeys(pull(one) for one in pulls)
    return [f"xcom {', '.join(said)}"] if said else []


def _airflow(facts: CallableFacts) -> list[str]:
    words = []
    if facts.whole_context:
        words.append("whole context")
    elif facts.context_keys:
        words.append(f"context {', '.join(facts.context_keys)}")
    for word, names in (("variable", facts.variables), ("connection", facts.connections)):
        if names:
            words.append(f"{word} {', '.join(names)}")
    if facts.dynamic:
        words.append("names computed at run time")
    hooks = dict.fromkeys(one.what for one in facts.hooks)
    if hooks:
        words.append(f"hook {', '.join(hooks)}")
    return words


def _code(facts: CallableFacts) -> list[str]:
    words = []
    if facts.modules:
        words.append(f"module {', '.join(facts.modules)}")
    for word, effects in (("file", facts.files), ("writes", facts.writes)):
        said = dict.fromkeys(one.what for one in effects)
        if said:
            words.append(f"{word} {', '.join(said)}")
    if facts.environment:
        words.append(f"env {', '.join(facts.environment)}")
    return words


def _code_in_brief(facts: CallableFacts) -> list[str]:
    words = []
    if facts.modules:
        words.append(f"module {', '.join(dict.fromkeys(one.rpartition('.')[2] for one in facts.modules))}")
    for word, found in (("files", facts.files), ("writes outside", facts.writes), ("env", facts.environment)):
        if found:
            words.append(word)
    return words
