"""``stepbridge compare A B``: 0 where they are the same, 1 where they differ, 2 where that cannot be told."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from stepbridge import documents
from stepbridge.compare.model import Report, Subject, Unused, Verdict
from stepbridge.compare.rules import Compare, Ignore, Metric, Tolerance
from stepbridge.failures import StepbridgeError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB)?", re.IGNORECASE)
_POWERS = {"b": 0, "kib": 10, "mib": 20, "gib": 30, "tib": 40}
_WHAT = "an artifact's URI, s3:// or file:// URI, or a path; with a closing slash a folder"


def add(commands: Any) -> None:
    """Add the command to the subparsers *commands*."""
    compare = commands.add_parser(
        "compare",
        help="compare two artifacts, files or URIs: 0 same, 1 differ, 2 error",
        description="Strict unless an option relaxes it; the report shows each relaxation.",
    )
    compare.add_argument("control", metavar="A", help=_WHAT)
    compare.add_argument("candidate", metavar="B", help="as A")
    compare.add_argument("--key", default="", help="columns that identify a row, with commas between")
    compare.add_argument(
        "--unordered", action="store_true", help="the order of rows and items does not count"
    )
    compare.add_argument("--rtol", type=float, help="relative tolerance of numbers with a fraction")
    compare.add_argument("--atol", type=float, help="absolute tolerance of numbers with a fraction")
    compare.add_argument(
        "--column", action="append", default=[], metavar="NAME=RTOL[,ATOL]", help="tolerance of one column"
    )
    compare.add_argument(
        "--dtype", action="append", default=[], metavar="NAME=RTOL[,ATOL]", help="tolerance of one dtype"
    )
    compare.add_argument(
        "--equal", action="append", default=[], metavar="NAME", help="what counts as equal: nan-is-null, ..."
    )
    compare.add_argument(
        "--ignore", action="append", default=[], metavar="PATH=REASON", help="what does not count, and why"
    )
    compare.add_argument(
        "--metric", action="append", default=[], metavar="RULE", help="for example 'auc >= control - 0.002'"
    )
    compare.add_argument("--pixels", type=int, help="how far a pixel's channel may be off")
    compare.add_argument("--comparator", help="a comparator by its name, in place of the one by type")
    compare.add_argument("--mask", action="append", default=[], metavar="GLOB", help="values not to show")
    compare.add_argument("--samples", type=int, help="how many differences are shown per part")
    compare.add_argument("--memory", default="", help="what tables may hold in memory: 512MiB, 2GiB")
    compare.add_argument(
        "--rules",
        default="",
        metavar="FILE",
        help="a JSON file with the fields of Compare; options add to it",
    )
    compare.add_argument("--format", choices=("text", "json", "md"), default="text")
    compare.add_argument("--output", default="", metavar="FILE", help="where the report goes; default: here")
    compare.set_defaults(command=_compare, missing=2)


def _compare(arguments: argparse.Namespace) -> int:
    from stepbridge.compare import sides
    from stepbridge.compare.checking import check
    from stepbridge.compare.engine import compare_values
    from stepbridge.compare.job import ALLOCATOR
    from stepbridge.compare.render.shared import unused
    from stepbridge.compare.reporting import report_of

    os.environ.setdefault(*ALLOCATOR)
    rules = _rules(arguments)
    check(rules)
    started = time.monotonic()
    control, candidate = sides.value_at(arguments.control), sides.value_at(arguments.candidate)
    parts = compare_values({"value": control}, {"value": candidate}, rules)
    subject = Subject(arguments.control, arguments.candidate)
    report = report_of(subject, parts, seconds=round(time.monotonic() - started, 3))
    outside = tuple(Unused("outputs", output.name) for output in rules.outputs)
    report = replace(report, unused=(*report.unused, *outside))
    _say(report, arguments, rules.samples)
    for one in report.unused:
        print(f"stepbridge compare: warning: {unused(one)}", file=sys.stderr)
    if report.verdict is Verdict.TOOL_ERROR:
        return 2
    return 0 if report.verdict.same else 1


def _say(report: Report, arguments: argparse.Namespace, samples: int) -> None:
    from stepbridge.compare.render.markdown import markdown
    from stepbridge.compare.render.terminal import text

    if arguments.format == "json":
        said = json.dumps(documents.to_json(report), indent=1) + "\n"
    elif arguments.format == "md":
        said = markdown(report, samples=samples)
    else:
        colour = not arguments.output and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        said = text(report, colour=colour, samples=samples)
    if arguments.output:
        try:
            Path(arguments.output).write_text(said, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise _bad(str(error), "--output", "name a file in a folder that is there") from error
        return
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(said.encode(encoding, "backslashreplace").decode(encoding))


def _rules(arguments: argparse.Namespace) -> Compare:
    """The rules of the file, if one is given, and what the options say added or put in its place."""
    base = Compare()
    if arguments.rules:
        try:
            base = documents.load(Compare, _read(arguments.rules), place=arguments.rules)
        except StepbridgeError as error:
            raise _bad(error.cause, error.place, "correct the field; see docs/compare.md") from error
    tolerances = {
        option: dict(_tolerance(given, option) for given in getattr(arguments, option))
        for option in ("column", "dtype")
    }
    ignored = tuple(Ignore(*_pair(given, "--ignore", "PATH=REASON")) for given in arguments.ignore)
    return replace(
        base,
        key=tuple(name.strip() for name in arguments.key.split(",") if name.strip()) or base.key,
        unordered=arguments.unordered or base.unordered,
        rtol=base.rtol if arguments.rtol is None else arguments.rtol,
        atol=base.atol if arguments.atol is None else arguments.atol,
        columns={**base.columns, **tolerances["column"]},
        dtypes={**base.dtypes, **tolerances["dtype"]},
        equal=(*base.equal, *arguments.equal),
        ignore=(*base.ignore, *ignored),
        metrics=(*base.metrics, *(Metric(given) for given in arguments.metric)),
        pixels=base.pixels if arguments.pixels is None else arguments.pixels,
        comparator=arguments.comparator or base.comparator,
        samples=base.samples if arguments.samples is None else arguments.samples,
        mask=(*base.mask, *arguments.mask),
        memory=_bytes(arguments.memory) if arguments.memory else base.memory,
    )


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _bad(str(error), "--rules", "name a JSON file with fields of Compare") from error


def _tolerance(given: str, option: str) -> tuple[str, Tolerance]:
    name, numbers = _pair(given, f"--{option}", "NAME=RTOL[,ATOL]")
    try:
        relative, _, absolute = numbers.partition(",")
        return name, Tolerance(float(relative), float(absolute or 0))
    except ValueError as error:
        raise _bad(
            f"{given!r} holds no numbers", f"--{option}", "write NAME=RTOL or NAME=RTOL,ATOL"
        ) from error


def _pair(given: str, option: str, form: str) -> tuple[str, str]:
    name, sign, rest = given.partition("=")
    if not (name and sign and rest):
        raise _bad(f"{given!r} is not {form}", option, f"write {option} {form}")
    return name, rest


def _bytes(given: str) -> int:
    found = _SIZE.fullmatch(given.strip())
    if found is None:
        raise _bad(f"{given!r} is no size", "--memory", "write 512MiB or 2GiB")
    return int(float(found[1]) * (1 << _POWERS[(found[2] or "B").lower()]))


def _bad(cause: str, place: str, hint: str) -> StepbridgeError:
    return StepbridgeError("SB701", cause, place=place, hint=hint)
