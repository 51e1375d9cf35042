"""The README's pictures: what stands on a screen, as it stands there, with nothing from another host."""

import re

import pyte
import pytest

from tests.demo_pictures import FOLDER, MIDDLE, picture
from tests.terminals import Screen


def drawn(sent: bytes) -> str:
    screen = Screen(100, 10)
    pyte.ByteStream(screen).feed(sent)
    return picture(screen)


def test_a_picture_has_the_text_and_the_styles_of_the_screen() -> None:
    svg = drawn(b"gone\x1b[2K\r\x1b[1;32mdone\x1b[0m <&> \x1b[2mfaint\x1b[0m \x1b[38;2;1;2;3mcoloured\x1b[0m\r\n")
    assert "gone" not in svg
    assert "&lt;&amp;&gt;" in svg
    styles = {
        text: svg[svg.index(f".{name} {{") :].partition("}")[0]
        for name, text in re.findall(r'class="(terminal-r\d+)"[^>]*>([^<]+)<', svg)
    }
    assert "font-weight: bold" in styles["done"]
    assert "fill: #010203" in styles["coloured"]
    assert styles["faint"] != styles["&#160;&lt;&amp;&gt;&#160;"]


@pytest.mark.parametrize("name", ["demo-crawl.svg", "demo-end.svg"])
def test_the_pictures_of_the_demo_need_nothing_from_elsewhere(name: str) -> None:
    svg = (FOLDER / name).read_text()
    assert "<svg" in svg
    assert not re.findall(r"@import|@font-face|(?:href|src)=|url\((?!#)", svg)


def test_the_picture_is_of_the_middle_with_an_estimate_and_what_is_waited_for() -> None:
    rows = "  progress  45 % of about 898 requests, about 4 s left\n  requests  418\n  waiting   9 for the limit of x"
    assert MIDDLE.search(rows)
    assert not MIDDLE.search(rows.replace("45 %", "12 %"))
