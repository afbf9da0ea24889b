"""Bytes to text and back, and the way from positions of ``ast`` to offsets."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge_migrate.source import Unreadable, decode

NEWLINES = ("\n", "\r\n", "\r")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "utf-8-sig", "shift_jis", "gbk"])
@pytest.mark.parametrize("newline", NEWLINES)
@pytest.mark.parametrize("end", ["", "newline"])
def test_round_trip(encoding: str, newline: str, end: str) -> None:
    sign = {"shift_jis": "日", "gbk": "中"}.get(encoding, "é")
    lines = [f"# -*- coding: {encoding.removesuffix('-sig')} -*-", f'x = "{sign}"; y = f(1)', "\x0c", "z = 2"]
    data = (newline.join(lines) + (newline if end else "")).encode(encoding)
    file = decode("dag.py", data)
    assert file.encode(file.text) == data
    assert file.newline == newline
    call = next(node for node in ast.walk(file.tree) if isinstance(node, ast.Call))
    assert file.cut(file.span(call)) == "f(1)"
    assert file.cut(file.span(file.tree.body[-1])) == "z = 2"
    assert file.place(file.text.index("f(1)")) == file.place_of(call)


@given(
    st.lists(
        st.sampled_from(
            ['x = "é"', "f(1)", "\tif 1: pass".strip(), "# ü\x0c", '"""a', 'b"""', "", "名 = g(名)"]
        )
    ),
    st.sampled_from(NEWLINES),
    st.booleans(),
)
def test_every_span_is_the_text_of_its_node(lines: list[str], newline: str, bom: bool) -> None:
    data = (b"\xef\xbb\xbf" if bom else b"") + newline.join(lines).encode()
    file = decode("dag.py", data)
    assert file.encode(file.text) == data
    try:
        tree = file.tree
    except Unreadable:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            assert file.cut(file.span(node)) == node.id
        if isinstance(node, ast.expr):
            again = ast.parse(f"({file.cut(file.span(node))})", mode="eval").body
            assert ast.unparse(again) == ast.unparse(node)


@pytest.mark.parametrize(
    ("data", "code", "line"),
    [
        (b"# coding: nonsense\n", "SM401", 1),
        (b"x = 1\n\ny = '\xff'\n", "SM401", 3),
        (b"# coding: latin-1\n" + b"x = (\n", "SM402", 2),
        (b"x = 1\x00\n", "SM402", 1),
        (b"exec 'x'\n", "SM402", 1),
    ],
)
def test_what_cannot_be_read_has_a_place(data: bytes, code: str, line: int) -> None:
    with pytest.raises(Unreadable) as caught:
        _ = decode("dag.py", data).tree
    assert (caught.value.finding.code, caught.value.finding.place.line) == (code, line)


def test_an_encoding_that_does_not_give_the_bytes_back_is_refused() -> None:
    data = "# coding: utf-7\nx = '+AOk-'\n".encode("ascii")
    with pytest.raises(Unreadable) as caught:
        decode("dag.py", data)
    assert caught.value.finding.code == "SM401"
