"""Every code that ``migrate`` says of a site: what it means, why, and what to do.

``SM1xx`` a task stays, ``SM2xx`` no edit is made, ``SM3xx`` an edit is made and a person should know
something, ``SM4xx`` files that could not be read and remarks, ``SM5xx`` what stopped the tool.
"""

from __future__ import annotations

from collections.abc import Iterable

from stepbridge_migrate.model import Disposition, Finding
from stepbridge_migrate.pages import keep, refuse, tool, warn
from stepbridge_migrate.pages.page import Code

__all__ = ["CODES", "Code", "worst"]

CODES: dict[str, Code] = {page.id: page for page in (*keep.PAGES, *refuse.PAGES, *warn.PAGES, *tool.PAGES)}
_ORDER = (Disposition.AUTO, Disposition.WARN, Disposition.KEEP, Disposition.REFUSE)


def worst(findings: Iterable[Finding]) -> Disposition:
    """The disposition that *findings* lead to: AUTO where there are none."""
    return max((CODES[one.code].disposition for one in findings), key=_ORDER.index, default=Disposition.AUTO)
