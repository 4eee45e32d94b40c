"""The checking page: one file in which a browser checks a receipt, from a server or from a disk.

It is made of the parts in `page/check`, which stand in it in their order. Its own Content-Security-
Policy is in it too, so that it holds where no server sends one: the page runs nothing but what it
was made of, and asks nothing but its own server for a receipt, and the node that its reader names.
"""

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

from fastapi import APIRouter, Response

from api.routes.pages.markup import Html, page, tag

# Each stands on those before it.
SCRIPTS = ("bytes", "reader", "entries", "form", "signature", "receipt", "node", "chain", "page")
# Nodes are asked by https, and on the reader's own machine.
_NODES = "'self' https: http://127.0.0.1:* http://localhost:*"

router = APIRouter(include_in_schema=False)


@router.get("/check")
def checking() -> Response:
    """Return the checking page."""
    headers = {
        "Content-Security-Policy": f"{_policy()}; frame-ancestors 'none'",
        "Cache-Control": "public, max-age=300",
    }
    return Response(checking_page(), media_type="text/html", headers=headers)


@cache
def checking_page() -> bytes:
    """Return the bytes of the page, whose SHA-256 docs/checking.md has."""
    policy = tag("meta", http_equiv="Content-Security-Policy", content=_policy())
    head = Html(policy + tag("style", Html(_style())))
    # The script stands last, since it looks at what is on the page.
    script = tag("script", Html(_script()))
    return page("Check a receipt", head, Html(_part("check.html")), script).encode()


def _policy() -> str:
    return (
        f"default-src 'none'; script-src '{_hash(_script())}'; style-src '{_hash(_style())}'; "
        f"connect-src {_NODES}; base-uri 'none'; form-action 'none'"
    )


def _script() -> str:
    return '"use strict";\n' + "\n".join(_part(f"{name}.js") for name in SCRIPTS)


def _style() -> str:
    return _part("check.css")


def _part(name: str) -> str:
    return files("api.routes.pages").joinpath("page", "check", name).read_text("utf-8")


def _hash(text: str) -> str:
    """Return the hash by which a policy lets this text in."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
