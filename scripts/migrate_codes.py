"""Write docs/migrate-codes.md from the codes of migrate; ``--check`` only says whether it is current."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from stepbridge_migrate.codes import CODES
from stepbridge_migrate.render.markdown import page

PAGE = Path(__file__).resolve().parent.parent / "docs" / "migrate-codes.md"
GROUPS = {
    "SM1": ("KEEP", "The task stays in Airflow; a moved neighbour does not disturb it."),
    "SM2": ("REFUSE", "No edit is made until the source is changed."),
    "SM3": ("WARN", "The edit is made; a person should know or add something."),
    "SM4": ("Files and remarks", "What could not be read, and what needs no action."),
    "SM5": ("The tool itself", "What stops a command, or is said of the ledger and of the verification."),
}


def text() -> str:
    """The whole page."""
    return "\n".join(_lines()).rstrip("\n") + "\n"


def _lines() -> Iterator[str]:
    yield "# Codes of migrate"
    yield ""
    yield "Made from `codemods/stepbridge_migrate/codes.py` by `scripts/migrate_codes.py`."
    yield "`migrate explain CODE` shows the same page."
    yield ""
    yield "| code | | meaning |"
    yield "| --- | --- | --- |"
    for code in sorted(CODES.values(), key=lambda one: one.id):
        title = code.title.replace("|", "\\|")
        yield f"| [{code.id}](#{code.id.lower()}) | {code.disposition} | {title} |"
    yield ""
    for start, (title, what) in GROUPS.items():
        yield from (f"## {start}xx: {title}", "", what, "")
        for code in sorted(CODES.values(), key=lambda one: one.id):
            if code.id.startswith(start):
                yield from page(code, level=3)


def main() -> int:
    """0 where the page is current or was written, 1 where ``--check`` finds that it is not."""
    wanted = text()
    if "--check" in sys.argv[1:]:
        return int(not PAGE.is_file() or PAGE.read_text() != wanted)
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
