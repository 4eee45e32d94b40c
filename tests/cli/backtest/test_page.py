"""The page: one file that loads nothing, runs nothing, and shows hostile names as text."""

import base64
import re
from hashlib import sha256
from html.parser import HTMLParser
from io import StringIO

from orchestrator.cli.backtest.page import write_page
from tests.support.growth import hostile_report

HOSTILE = '"><script>alert(1)</script><img src=x onerror="alert(2)">&\u202e</svg>'


class Reader(HTMLParser):
    """A reader of a page's tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read_page(name: str) -> tuple[str, Reader]:
    file = StringIO()
    report, growth = hostile_report(name)
    write_page(growth, report, None, [], file)
    reader = Reader()
    reader.feed(file.getvalue())
    return file.getvalue(), reader


def test_hostile_names_are_text() -> None:
    _, page = read_page(HOSTILE)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "img", "iframe", "object", "link", "a", "foreignobject", "image"}
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in ("style", "href", "src", "xlink:href")
            assert "javascript:" not in (value or "")
    shown = HOSTILE.replace("\u202e", "?")
    assert shown in "".join(page.text)


def test_the_policy_lets_in_the_page_s_own_style_alone() -> None:
    text, page = read_page("a")
    (policy,) = [
        attributes["content"] or ""
        for tag, attributes in page.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{digest}'" in policy
    assert "http:" not in text.replace("http://www.w3.org/", "")


def test_each_chart_has_its_table() -> None:
    text, page = read_page("a")
    assert [tag for tag, _ in page.tags].count("svg") == 3
    assert len(re.findall(r"<div class=\"pair\"><div><svg.*?</svg></div><div><table", text)) == 3
