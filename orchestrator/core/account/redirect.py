"""Redirect URIs: to which a client may have an authorization's answer sent, and which two are one.

An answer goes to a web page over https, to a program on the same computer, or to an application
that has registered a scheme of its own. A URI is compared as a whole, character by character; of a
program's, the port alone may differ, which it is given when it starts (RFC 8252).
"""

import re
from typing import NamedTuple

from orchestrator.core.common.errors import InputError, shown

MAX_URI_BYTES = 512
# What a URI may hold after its host. No fragment, nothing that readers take for different things.
_REST = r"[/?][A-Za-z0-9._~:/?@!$&'()*+,;=%-]*"
_WEB = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[::1\])(?::(?P<port>[0-9]{1,5}))?"
    rf"(?P<rest>(?:{_REST})?)"
)
_OWN = re.compile(rf"(?P<scheme>[a-z][a-z0-9+.-]*):(?P<rest>{_REST})")
_LOOPBACK = ("127.0.0.1", "[::1]", "localhost")
# Schemes without a dot, which RFC 8252 asks for, of applications that many people have.
_KNOWN_SCHEMES = ("cursor", "vscode", "vscode-insiders")
# What the answer itself says must not stand there twice.
_TAKEN = re.compile(r"[?&](?:code|state|iss|error[a-z_]*)=")


class RedirectUri(NamedTuple):
    """A redirect URI in its parts. `host` is what a person is shown; a port of a program is apart.

    Of an application with its own scheme, the host is that scheme with its colon.
    """

    text: str
    host: str
    is_loopback: bool
    port: str
    base: str


def read_redirect_uri(text: str) -> RedirectUri:
    """Return the parts of a redirect URI. Raises InputError for one that is never served."""
    if len(text) > MAX_URI_BYTES or _TAKEN.search(text):
        raise _refused(f"has at most {MAX_URI_BYTES} characters, and no code, state or iss", text)
    web = _WEB.fullmatch(text)
    if web is not None:
        is_loopback = web["scheme"] == "http" and web["host"] in _LOOPBACK
        if not (is_loopback or (web["scheme"] == "https" and web["host"] != "[::1]")):
            raise _refused("is https, or http to 127.0.0.1, [::1] or localhost", text)
        if not (web["port"] is None or 0 < int(web["port"]) < 65_536):
            raise _refused("has a port from 1 to 65535", text)
        host, port = web["host"], web["port"] or ""
        shown_host = host if is_loopback or not port else f"{host}:{port}"
        return RedirectUri(text, shown_host, is_loopback, port, f"{host}{web['rest']}")
    own = _OWN.fullmatch(text)
    if own is None or not ("." in own["scheme"] or own["scheme"] in _KNOWN_SCHEMES):
        raise _refused(
            "is https with a host in lower case, a program's on this computer, or of a scheme such "
            "as com.example.app, without user, password or fragment",
            text,
        )
    return RedirectUri(text, f"{own['scheme']}:", is_loopback=False, port="", base=text)


def is_registered(asked: RedirectUri, registered: RedirectUri) -> bool:
    """Return whether an answer to the asked URI is one to the registered."""
    if asked.is_loopback and registered.is_loopback:
        return asked.base == registered.base
    return asked.text == registered.text


def _refused(rule: str, text: str) -> InputError:
    return InputError("redirect-uri", f"a redirect URI {rule}, not {shown(text)}")
