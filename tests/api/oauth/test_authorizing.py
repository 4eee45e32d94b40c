"""Authorizing under attack: what reaches a person, what a browser may answer, where answers go."""

from html import unescape
from urllib.parse import parse_qsl, urlsplit

import psycopg
import pytest

from api.oauth.authorizing import code_secret, request_secret
from orchestrator.core.account.sign_in import message_digest
from orchestrator.storage.database import API, WORKER
from tests.support.api_service import ApiService, problem_of, row_count, signed, wallet
from tests.support.oauth_flow import (
    REDIRECT_URI,
    STATE,
    Browser,
    answered,
    exchange,
    register,
    request_of,
)
from tests.support.servers import open_as, urls_of

ANN, EVE = wallet("ann"), wallet("eve")
WEB = "https://app.example/callback"


# --- The request ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        REDIRECT_URI + "/more",
        REDIRECT_URI + "?more=1",
        REDIRECT_URI + "#part",
        REDIRECT_URI[:-1],
        "http://127.0.0.1:33418/",
        "http://127.0.0.1:33418@evil.example/callback",
        "http://127.0.0.1.evil.example:33418/callback",
        "http://localhost:33418/callback",
        "http://evil.example/callback",
        "https://evil.example/callback",
        "https://app.example.evil.example/callback",
        "https://user@app.example/callback",
        "https://app.example/callback/",
        "https://app.example/callback/../callback",
        "https://app.example:8443/callback",
        "https://APP.example/callback",
        "com.example.app:/callback",
        "javascript:/alert(1)",
        "data:/text",
    ],
)
def test_nothing_goes_to_a_uri_that_is_not_the_clients(service: ApiService, uri: str) -> None:
    client_id = register(service, REDIRECT_URI, WEB)
    with Browser(service) as browser:
        for changes in ({"redirect_uri": uri}, {"redirect_uri": uri, "response_type": "token"}):
            page = browser.open(request_of(service, client_id, **changes))
            assert page.status_code == 400
            assert "Location" not in page.headers
            assert "href" not in page.text
            assert not browser.http.cookies


def test_a_program_gets_its_answer_at_the_port_that_it_has_now(service: ApiService) -> None:
    uri = REDIRECT_URI.replace("33418", "50123")
    asked = request_of(service, register(service), redirect_uri=uri)
    with Browser(service) as browser:
        told = browser.allow(asked, ANN)
    assert exchange(service, asked, told["code"]).status_code == 200


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": "=" * 43}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
        ({"scope": "operator:read owner:all"}, "invalid_scope"),
        ({"scope": " "}, "invalid_scope"),
        ({"resource": "https://other.example/mcp"}, "invalid_target"),
        ({"state": "s" * 2_049}, "invalid_request"),
        ({"state": "nul \0"}, "invalid_request"),
    ],
)
def test_a_request_with_a_fault_is_shown_and_its_person_may_go_back(
    service: ApiService, change: dict[str, str | None], error: str
) -> None:
    with Browser(service) as browser:
        page = browser.open(request_of(service, register(service), **change))
    # Followed by itself the way back would make this service a door to anywhere.
    assert page.status_code == 400
    assert "Location" not in page.headers
    way = unescape(page.text.split('href="')[1].split('"')[0])
    told = answered(way, REDIRECT_URI)
    assert (told["error"], told["iss"]) == (error, service.url)
    assert told["state"] == change.get("state", STATE)


def test_a_parameter_that_stands_twice_is_refused(service: ApiService) -> None:
    with Browser(service) as browser:
        query = browser.http.build_request(
            "GET", "/oauth/authorize", params=request_of(service, register(service))
        ).url.query.decode()
        for again in ("redirect_uri=https://evil.example/", "code_challenge_method=plain"):
            page = browser.http.get(f"/oauth/authorize?{query}&{again}")
            assert page.status_code == 400
            assert "stands more than once" in page.text


def test_the_page_is_not_loaded_into_another(service: ApiService) -> None:
    with Browser(service) as browser:
        browser.http.headers["Sec-Fetch-Mode"] = "cors"
        assert browser.open(request_of(service, register(service))).status_code == 400
        browser.http.headers["Sec-Fetch-Mode"] = "navigate"
        assert browser.open(request_of(service, register(service))).status_code == 200


# --- The answer -----------------------------------------------------------------------------------


def test_the_wallet_signs_what_is_granted_to_whom(service: ApiService) -> None:
    client_id = register(service)
    with Browser(service) as browser:
        request = browser.begin(request_of(service, client_id))
        text = browser.message(request, ANN)
    assert ANN.address in text
    assert f"Let client {client_id}, which is answered at 127.0.0.1, use Tallystick" in text
    assert "a key for operator:forecast, operator:read, as request" in text
    # The request's own id would let its reader answer.
    assert request not in text
    assert "Your Bank" not in text
    # The message is of no use where wallets sign in by themselves.
    assert problem_of(service.post_sign_in(text, signed(ANN, text)), 401, "message-of-client")


def test_only_the_browser_that_began_a_request_can_answer_it(service: ApiService) -> None:
    with Browser(service) as browser, Browser(service) as other:
        asked = request_of(service, register(service))
        request, others = browser.begin(asked), other.begin(asked)
        body = {"request": request, "address": EVE.address}
        assert problem_of(other.post("message", body), 403, "browser-differs")
        assert problem_of(
            other.post("consent", body | {"signature": "0x00"}), 403, "browser-differs"
        )
        assert problem_of(other.post("consent", body | {"declined": True}), 403, "browser-differs")
        # Nor by the cookie of another request, under the name of this one's.
        (name,) = browser.http.cookies
        (value,) = other.http.cookies.values()
        other.http.cookies.set(name, value)
        assert problem_of(other.post("message", body), 410, "request-over")
        assert other.consent(others, EVE).status_code == 200
        assert browser.consent(request, ANN).status_code == 200


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://127.0.0.1"])
def test_another_page_can_not_answer(service: ApiService, origin: str | None) -> None:
    with Browser(service) as browser:
        request = browser.begin(request_of(service, register(service)))
        signature = signed(ANN, browser.message(request, ANN))
        body = {"request": request, "address": ANN.address, "signature": signature}
        browser.origin = {} if origin is None else {"Origin": origin}
        assert problem_of(browser.post("consent", body), 403, "origin-foreign")
        assert problem_of(browser.post("message", body), 403, "origin-foreign")
        # A form, which a page may send anywhere unasked, is no answer at all.
        form = browser.http.post("/oauth/consent", data=body, headers={"Origin": service.url})
        assert problem_of(form, 415, "media-type")


def test_the_cookie_is_of_use_to_this_site_alone(service: ApiService) -> None:
    with Browser(service) as browser:
        page = browser.open(request_of(service, register(service)))
        (cookie,) = page.headers.get_list("Set-Cookie")
        for attribute in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=600"):
            assert attribute in cookie
        assert "Domain" not in cookie
        # A request is of one tab: a second one leaves the first its cookie.
        browser.begin(request_of(service, register(service)))
        assert len(browser.http.cookies) == 2


def test_a_signature_is_of_this_request_by_this_account(service: ApiService) -> None:
    with Browser(service) as browser:
        asked = request_of(service, register(service))
        first, second = browser.begin(asked), browser.begin(asked)
        signature = signed(ANN, browser.message(first, ANN))
        for request, address in ((second, ANN.address), (first, EVE.address)):
            body = {"request": request, "address": address, "signature": signature}
            assert problem_of(browser.post("consent", body), 401, "signature-invalid")
        body = {"request": first, "address": ANN.address}
        assert problem_of(browser.post("consent", body), 422, "consent-unsigned")
        assert browser.post("consent", body | {"signature": signature}).status_code == 200


def test_a_contracts_wallet_allows_too(service: ApiService) -> None:
    with Browser(service) as browser:
        request = browser.begin(request_of(service, register(service)))
        text = browser.message(request, wallet("safe"))
        digest = message_digest(text)
        service.accepted_signatures.add((wallet("safe").address, digest, b"\7" * 70))
        body = {
            "request": request,
            "address": wallet("safe").address,
            "signature": "0x" + "07" * 70,
        }
        assert browser.post("consent", body).status_code == 200


def test_a_request_is_answered_once_and_in_time(service: ApiService) -> None:
    with Browser(service) as browser:
        asked = request_of(service, register(service))
        request = browser.begin(asked)
        cookies = dict(browser.http.cookies)
        text = browser.message(request, ANN)
        assert browser.consent(request, ANN).status_code == 200
        assert not browser.http.cookies
        browser.http.cookies.update(cookies)
        body = {"request": request, "address": ANN.address, "signature": signed(ANN, text)}
        assert problem_of(browser.post("consent", body), 410, "request-over")
        assert problem_of(browser.post("consent", body | {"declined": True}), 410, "request-over")
        request = browser.begin(asked)
        service.clock.now_ms += 600_001
        body = {"request": request, "address": ANN.address}
        assert problem_of(browser.post("message", body), 410, "request-over")


def test_what_is_declined_is_over(service: ApiService) -> None:
    with Browser(service) as browser:
        request = browser.begin(request_of(service, register(service)))
        cookies = dict(browser.http.cookies)
        answer = browser.post("consent", {"request": request, "declined": True})
        told = answered(answer.json()["redirect"], REDIRECT_URI)
        assert told["error"] == "access_denied"
        assert (told["state"], told["iss"]) == (STATE, service.url)
        browser.http.cookies.update(cookies)
        body = {"request": request, "address": ANN.address}
        assert problem_of(browser.post("message", body), 410, "request-over")


def test_the_answer_names_its_author_and_keeps_the_clients_own_query(service: ApiService) -> None:
    uri = WEB + "?tenant=7"
    with Browser(service) as browser:
        asked = request_of(service, register(service, uri), redirect_uri=uri, state=None)
        answer = browser.consent(browser.begin(asked), ANN)
    query = parse_qsl(urlsplit(answer.json()["redirect"]).query)
    assert [name for name, _ in query] == ["tenant", "code", "iss"]
    assert query[2] == ("iss", service.url)


def test_the_database_keeps_hashes_and_forgets_what_has_expired(service: ApiService) -> None:
    with Browser(service) as browser, service.admin() as admin:
        asked = request_of(service, register(service))
        request = browser.begin(asked)
        (cookie,) = browser.http.cookies.values()
        code = answered(browser.consent(request, ANN).json()["redirect"], REDIRECT_URI)["code"]
        rows = str(admin.execute("SELECT a::text FROM authorizations a").fetchall())
        for secret in (request, cookie, code):
            assert secret not in rows
            assert secret.encode().hex() not in rows
        service.clock.now_ms += 600_001
        with (
            open_as(service.database_url, WORKER) as worker,
            worker.transaction() as session,
        ):
            session.run("authorizations.sweep")
        assert row_count(admin, "authorizations") == 0


def test_the_row_policies_show_and_change_a_row_by_what_is_presented_alone(
    service: ApiService,
) -> None:
    asked = request_of(service, register(service))
    with Browser(service) as browser:
        request = browser.begin(asked)
        code = answered(browser.consent(request, ANN).json()["redirect"], REDIRECT_URI)["code"]
    shown, by_code = request_secret(request), code_secret(code)
    code_again = "UPDATE authorizations SET code_hash = sha256('mine'), code_expires_ms = 1"
    unused = "UPDATE authorizations SET used_ms = NULL, secret_hash = NULL"
    with psycopg.connect(urls_of(service.database_url).by_login[API]) as api:

        def rows(secret: bytes, statement: str) -> int:
            api.execute("SELECT present(%s)", (secret,))
            count = api.execute(statement.encode()).rowcount
            api.rollback()
            return count

        assert rows(b"", "SELECT FROM authorizations") == 0
        assert rows(b"guess", "SELECT FROM authorizations") == 0
        assert rows(shown, "SELECT FROM authorizations") == 1
        assert rows(by_code, "SELECT FROM authorizations") == 1
        # The request has its code, for good.
        assert rows(shown, code_again) == rows(shown, "DELETE FROM authorizations") == 0
        assert rows(by_code, "DELETE FROM authorizations") == 0
        assert exchange(service, asked, code).status_code == 200
        assert rows(by_code, unused) == rows(shown, unused) == 0
        for forged in (
            # Another's request, one that is far from its end, one of another time.
            "(sha256('another'), 'b', clock_ms(), clock_ms() + 1)",
            "(sha256(presented()), 'b', clock_ms(), clock_ms() + 3600001)",
            "(sha256(presented()), 'b', 0, clock_ms() + 1)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                rows(
                    b"mine",
                    "INSERT INTO authorizations (request_hash, client, created_ms, expires_ms,"  # noqa: S608
                    " browser_hash, redirect_uri, challenge, scopes, nonce) SELECT f.*,"
                    " sha256('b'), 'u', repeat('c', 43), '{owner:read}', 'n'"
                    f" FROM (VALUES {forged}) AS f",
                )
            api.rollback()
