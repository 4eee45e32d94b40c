"""HTML in which nothing but what is made here is markup: every text is escaped."""

from html import escape


class Html(str):
    """A piece of HTML that was made by `tag` or `page`."""

    __slots__ = ()


# Elements without an end of their own.
_VOID = frozenset({"meta", "link"})


def tag(element: str, *children: str | int, **attributes: str) -> Html:
    """Return an element; children that are no `Html` are text. Attributes may end in `_`."""
    pairs = (
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for name, value in attributes.items()
    )
    start = f"<{element}{''.join(pairs)}>"
    if element in _VOID:
        return Html(start)
    inside = "".join(child if isinstance(child, Html) else escape(str(child)) for child in children)
    return Html(f"{start}{inside}</{element}>")


def page(title: str, head: str, *body: str) -> Html:
    """Return a whole document; `head` is what it has beside its title."""
    meta = tag("meta", charset="utf-8")
    view = tag("meta", name="viewport", content="width=device-width, initial-scale=1")
    inner = tag("head", meta, view, tag("title", title), head)
    return Html(f"<!doctype html>\n{tag('html', inner, tag('body', *body), lang='en')}\n")
