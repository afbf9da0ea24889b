"""Rules that name something and match nothing that was compared: most of them are misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from stepbridge.compare.ignoring import fits
from stepbridge.compare.model import Part, Unused
from stepbridge.compare.rules import Compare

_THERE = 5
"""Names that are shown beside a rule."""
_SCHEMA = ("index", "columns", "type", "digest")
"""What differences of whole tables are named."""
_PLACES = frozenset({"ignore", "mask"})
_INPUTS = "inputs."
"""Begins the rules for the arguments of a shadow run, which are compared apart."""


@dataclass(frozen=True)
class Named:
    """What the rules can name in two things that were compared.

    :param names: what ``ignore`` and ``mask`` name: columns, paths, files, arrays.
    :param numbers: what ``columns`` names.
    :param dtypes: what ``dtypes`` names.
    :param leads: how names begin that cannot be listed beforehand: ``line ``, ``pixel (``.
    """

    names: Collection[str] = ()
    numbers: Collection[str] = ()
    dtypes: Collection[str] = ()
    leads: tuple[str, ...] = ()


def names_something(rules: Compare) -> bool:
    """Whether there is a rule that could match nothing."""
    return bool(rules.ignore or rules.columns or rules.dtypes or rules.mask)


def unused(rules: Compare, named: Named) -> tuple[Unused, ...]:
    """The rules that match nothing of *named*.

    ``metrics`` and ``key`` are not among them: that these find nothing is a verdict.
    """
    return tuple(
        Unused(setting, glob, tuple(_closest(glob, there)))
        for setting, glob, there in _asked(rules, named)
        if not (setting in _PLACES and _may_begin(glob, named.leads))
        and glob not in there
        and not any(fits(glob, name) for name in there)
    )


def of_table(
    rules: Compare, columns: Collection[str], dtypes: Collection[str], others: Collection[str] = ()
) -> tuple[Unused, ...]:
    """The rules that match nothing of two tables.

    :param columns: names of the columns and index levels of both. :param dtypes: of these.
    :param others: what else differences of their schemas are named for.
    """
    names = (*columns, *others, *_SCHEMA)
    return unused(rules, Named(names, tuple(columns), tuple(dtypes), leads=("index level ",)))


def agreed(found: Iterable[tuple[Unused, ...] | None]) -> tuple[Unused, ...] | None:
    """The rules that match nothing in any of several things; None where that of one is not known."""
    known: list[tuple[Unused, ...]] = []
    for one in found:
        if one is None:
            return None
        known.append(one)
    if not known:
        return None
    there: dict[tuple[str, str], list[str]] = {(one.setting, one.name): [] for one in known[0]}
    for each in known:
        names = {(one.setting, one.name): one.there for one in each}
        there = {key: [*said, *names[key]] for key, said in there.items() if key in names}
    return tuple(Unused(*key, tuple(_closest(key[1], said))) for key, said in there.items())


def but_for(part: Part, name: str) -> Part:
    """The part, whose own *name* rules match as well."""
    if not part.unused:
        return part
    left = tuple(one for one in part.unused if one.setting == "dtypes" or not fits(one.name, name))
    return replace(part, unused=left)


def of_report(parts: Sequence[Part], inputs: Part | None) -> tuple[Unused, ...]:
    """The rules that match nothing in a whole report; none where a part does not tell.

    :param inputs: the inputs compared, whose values are masked by the same names.
    """
    hidden = inputs.unused if inputs is not None else None
    return tuple(
        one
        for one in agreed(part.unused for part in parts) or ()
        if inputs is None
        or one.setting != "mask"
        or (hidden is not None and any((each.setting, each.name) == ("mask", one.name) for each in hidden))
    )


def _asked(rules: Compare, named: Named) -> Iterator[tuple[str, str, Collection[str]]]:
    for ignored in rules.ignore:
        if not ignored.path.startswith(_INPUTS):
            yield "ignore", ignored.path, named.names
    for glob in rules.columns:
        yield "columns", glob, named.numbers
    for glob in rules.dtypes:
        yield "dtypes", glob, named.dtypes
    for glob in rules.mask:
        yield "mask", glob, named.names


def _may_begin(glob: str, leads: tuple[str, ...]) -> bool:
    """Whether a name that begins with one of *leads* may fit *glob*."""
    fixed = glob.replace("?", "*").partition("*")[0]
    return any(fixed.startswith(lead) or (fixed != glob and lead.startswith(fixed)) for lead in leads)


def _closest(glob: str, there: Collection[str]) -> list[str]:
    """A few of the names that there are, those first that are spelt alike; each path once."""
    full = glob.startswith("$.")
    every = set(there)
    few = [
        name
        for name in dict.fromkeys(there)
        if name != "$"
        and (full or name.removeprefix("$.") == name or name.removeprefix("$.") not in every)
        and not (full and f"$.{name}" in every)
    ][:1000]
    near = difflib.get_close_matches(glob, few, n=_THERE, cutoff=0.5)
    return [*near, *(name for name in few if name not in near)][:_THERE]
