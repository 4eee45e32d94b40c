"""Pages as a browser reads them, and names that would do harm where they are not escaped."""

from html.parser import HTMLParser

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</h3><svg/onload=alert(1)>",
    "'-alert(1)-'&lt;b&gt;",
    "{{7*7}} ${7*7} <%= 7 %>",
)


class Outline(HTMLParser):
    """The elements of a page, its handlers of events, its references, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.references: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.references += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
