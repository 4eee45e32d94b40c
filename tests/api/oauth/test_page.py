"""The page: it shows facts, escaped, runs its own script alone, and its script asks the wallet."""

import json
import re
import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from api.oauth import page
from api.oauth.clients import Client
from orchestrator.core.account.redirect import read_redirect_uri
from orchestrator.core.account.scopes import SCOPE_WORDS
from tests.support.api_service import ApiService, signed, wallet
from tests.support.http_server import send, serving
from tests.support.oauth_flow import (
    REDIRECT_URI,
    Browser,
    answered,
    exchange,
    request_of,
)
from tests.support.oauth_flow import (
    register as registered,
)

ANN = wallet("ann")
DOM = Path(__file__).parents[2] / "support/page_in_node.js"


def shown(service: ApiService, client_id: str, **changes: str) -> str:
    with Browser(service) as browser:
        return browser.open(request_of(service, client_id, **changes)).text


def test_the_page_shows_host_scopes_and_id_and_no_name_that_a_client_gave_itself(
    service: ApiService,
) -> None:
    client_id = registered(service)
    text = shown(service, client_id)
    assert "127.0.0.1, a program on this computer" in text
    for scope in ("operator:read", "operator:forecast"):
        assert SCOPE_WORDS[scope] in text
    assert SCOPE_WORDS["owner:erase"] not in text
    assert client_id in text
    assert "no one has checked who it is" in text
    assert "Your Bank" not in text


def test_a_clients_document_is_named_by_its_host() -> None:
    redirect = read_redirect_uri("cursor://anysphere.cursor-mcp/oauth/callback")
    client = Client("https://client.example/id.json", (redirect,), "client.example")
    text = bytes(
        page.consent_page(page.ConsentRequest("r", client, redirect, ["owner:read"])).body
    ).decode()
    assert "cursor:, an application on this computer" in text
    assert "Its id is a document at client.example." in text


def test_only_its_own_script_runs_and_no_page_frames_it(service: ApiService) -> None:
    with Browser(service) as browser:
        asked = request_of(service, registered(service))
        pages = [browser.open(asked), browser.open(asked), browser.open(asked | {"scope": "x"})]
    nonces = set()
    for one in pages:
        policy = one.headers["Content-Security-Policy"]
        found = re.search(r"script-src 'nonce-([^']+)'", policy)
        assert found is not None
        nonces.add(found[1])
        for rule in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'none'"):
            assert rule in policy
        assert "unsafe" not in policy
        assert one.headers["X-Frame-Options"] == "DENY"
        assert one.headers["Cache-Control"] == "no-store"
        assert one.headers["Referrer-Policy"] == "no-referrer"
        # Nothing is loaded, and each element that runs or styles has the nonce.
        assert not re.search(r"\b(src|srcset|action|onclick|onload)=", one.text)
        assert all(found[1] in tag for tag in re.findall(r"<(?:script|style)[^>]*>", one.text))
    assert len(nonces) == len(pages)


@pytest.mark.parametrize("word", ["<script>alert(1)</script>", '"><img src=x>', "'\"`$nonce"])
def test_what_a_client_writes_is_text(service: ApiService, word: str) -> None:
    for changes in ({"scope": word}, {"state": word, "scope": "x"}, {"resource": word}):
        assert word not in shown(service, registered(service), **changes)
    assert word not in shown(service, word)
    assert word not in shown(service, registered(service), redirect_uri=word)


def test_the_page_escapes_what_should_never_have_come_so_far() -> None:
    word = "<img src=x onerror=alert(1)>\"'"
    redirect = read_redirect_uri(REDIRECT_URI)._replace(host=word, is_loopback=False)
    asked = page.ConsentRequest(word, Client(word, (redirect,), word), redirect, [])
    for shown_page in (page.consent_page(asked), page.refusal_page(word, (word, word))):
        assert "<img" not in bytes(shown_page.body).decode()
        assert "&lt;img" in bytes(shown_page.body).decode()


def wallet_at(handler: BaseHTTPRequestHandler) -> None:
    """Sign what a page asks a wallet to sign."""
    asked = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
    text = bytes.fromhex(asked[0][2:]).decode()
    assert asked[1] == ANN.address.lower()
    send(handler, json.dumps(signed(ANN, text)).encode())


def run_page(service: ApiService, browser: Browser, text: str, press: str) -> dict[str, str]:
    """Run the page's own script, press a button, and return what it says and where it goes."""
    with serving(wallet_at) as url:
        work = {
            "page": text,
            "base": f"{service.url}/oauth/authorize",
            "cookie": "; ".join(f"{name}={value}" for name, value in browser.http.cookies.items()),
            "wallet": url,
            "address": ANN.address.lower(),
            "press": press,
        }
        done = subprocess.run(
            ["node", str(DOM)],
            input=json.dumps(work),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_the_script_finds_a_wallet_has_it_sign_and_goes_to_the_client(service: ApiService) -> None:
    with Browser(service) as browser:
        asked = request_of(service, registered(service))
        found = run_page(service, browser, browser.open(asked).text, "Allow with Test wallet")
    assert "which is answered at 127.0.0.1" in found["message"]
    assert found["buttons"] == "Do not allow, Allow with Test wallet"
    told = answered(found["location"], REDIRECT_URI)
    assert exchange(service, asked, told["code"]).status_code == 200


def test_the_script_declines_and_says_what_went_wrong(service: ApiService) -> None:
    with Browser(service) as browser:
        text = browser.open(request_of(service, registered(service))).text
        told = answered(run_page(service, browser, text, "Do not allow")["location"], REDIRECT_URI)
        assert told["error"] == "access_denied"
        again = run_page(service, browser, text, "Allow with Test wallet")
    assert again["location"] == ""
    assert again["said"].startswith("Not done: the request was answered, or has expired")
