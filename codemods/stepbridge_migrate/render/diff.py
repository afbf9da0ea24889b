"""A unified diff in colour, for a terminal."""

from __future__ import annotations

from rich.text import Text


def coloured(diff: str, *, indent: str = "") -> Text:
    """The diff with a style for each kind of line; carriage returns and other controls made visible."""
    text = Text()
    for line in diff.splitlines() if "\r" not in diff else diff.replace("\r\n", "\n").split("\n"):
        text.append(f"{indent}{_visible(line)}\n", style=_style(line))
    text.rstrip()
    return text


def _visible(line: str) -> str:
    return "".join(char if char == "\t" or char.isprintable() else repr(char)[1:-1] for char in line)


def _style(line: str) -> str:
    if line.startswith(("+++", "---")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan", "\\": "dim"}.get(line[:1], "")
