"""Markup: text is escaped wherever it stands, and only what was made here is not."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from api.routes.pages.markup import Html, page, tag


class Read(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


ANY = st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]))


@given(ANY | st.text("<>&\"'/!?-;#=ab "))
def test_any_text_is_read_as_that_text(text: str) -> None:
    read = Read(tag("p", tag("b", text), title=text))
    assert read.tags == [("p", [("title", text)]), ("b", [])]
    assert read.text == text


def test_what_was_made_here_stays_markup() -> None:
    assert tag("p", tag("b", "x"), "<b>", 7) == "<p><b>x</b>&lt;b&gt;7</p>"
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert tag("p", class_="a", data_most="1") == '<p class="a" data-most="1"></p>'


def test_a_page_is_a_document_whose_title_is_text() -> None:
    made = page("<x>", Html(""), tag("main"))
    assert made.startswith("<!doctype html>\n<html lang=")
    assert "<title>&lt;x&gt;</title>" in made
