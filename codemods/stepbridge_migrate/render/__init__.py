"""From a report to text: for people, for programs, for code scanning, for pull requests."""

from __future__ import annotations

from collections.abc import Callable

from stepbridge_migrate.render.as_json import render_json
from stepbridge_migrate.render.github import render_github
from stepbridge_migrate.render.markdown import render_markdown
from stepbridge_migrate.render.sarif import render_sarif
from stepbridge_migrate.report import Report

FORMATS = ("text", "json", "sarif", "github", "md")
DATA: dict[str, Callable[[Report], str]] = {
    "json": render_json,
    "sarif": render_sarif,
    "github": render_github,
    "md": render_markdown,
}
"""What renders the formats for standard output; ``text`` is :mod:`stepbridge_migrate.render.text`."""
