"""The pages in a real Chromium: people allow a client by a wallet, and read what happens.

No page may write an error to the browser's console, which is where a broken policy of content
shows, and axe may find no fault in what it says to people who do not see it.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from api.routes.pages.front import NEWS
from orchestrator.core.world.requests import RecordPayout
from tests.support import browser
from tests.support.anchors import checkpoints_beyond, note_anchor
from tests.support.api_service import ApiService, open_surface, running_service, signed, wallet
from tests.support.browser import check_accessible, page_of
from tests.support.http_server import send, serving
from tests.support.oauth_flow import answered, exchange, register, request_of
from tests.support.settled_contract import SettledContract

# A wallet as EIP-6963 has it: it says that it is there when it is asked, and when it is loaded.
# What a person would do with it is decided by the test.
WALLET = """
(({ uuid, name }) => {
  const info = Object.freeze({ uuid, name, icon: "data:,", rdns: "example.wallet" });
  const request = ({ method, params }) => window.askWallet(name, method, params || []);
  const detail = Object.freeze({ info, provider: { request } });
  const announce = () =>
    window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
  window.addEventListener("eip6963:requestProvider", announce);
  announce();
})(%s);
"""
chromium = browser.chromium
REFUSED = "User rejected the request."
LATER = b"\x78" * 32
Wallet = Callable[[str, str, list[str]], object]


@pytest.fixture(scope="module")
def service(module_database_url: str) -> Iterator[ApiService]:
    with running_service(module_database_url) as running:
        yield running


@pytest.fixture(scope="module")
def owner(service: ApiService) -> httpx.Client:
    return service.sign_in(wallet("owner"), "owner")


def ordinary(name: str, method: str, params: list[str]) -> object:
    """Answer as a wallet whose person agrees to all; each wallet has an account of its name."""
    account = wallet(name)
    if method == "eth_requestAccounts":
        return [account.address]
    assert method == "personal_sign"
    assert params[1] == account.address
    return signed(account, bytes.fromhex(params[0][2:]).decode())


class Login:
    """The page that a client's request leads to, in a browser with these wallets."""

    def __init__(self, service: ApiService, page: Page, redirect_uri: str) -> None:
        self.page, self.redirect_uri = page, redirect_uri
        self.asked = request_of(service, register(service, redirect_uri), redirect_uri=redirect_uri)
        page.goto(f"{service.url}/oauth/authorize?{urlencode(self.asked)}")
        self.said = page.get_by_role("status")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def answer(self) -> dict[str, str]:
        """Return the parameters that the client gets, once the browser is there."""
        self.page.wait_for_url(f"{self.redirect_uri}?*")
        return answered(self.page.url, self.redirect_uri)


@contextmanager
def login(
    chromium: Browser,
    service: ApiService,
    wallets: Sequence[str] = ("ann",),
    ask: Wallet = ordinary,
) -> Iterator[Login]:
    """Open the page of a client that waits for its answer on this machine."""

    with (
        serving(lambda handler: send(handler, b"Back at the client.")) as client_url,
        page_of(chromium) as (context, page),
    ):
        context.expose_function("askWallet", ask)
        for name in wallets:
            context.add_init_script(WALLET % json.dumps({"uuid": f"id of {name}", "name": name}))
        yield Login(service, page, f"{client_url}/callback")


def test_a_person_allows_a_client_which_turns_its_code_into_a_key(
    chromium: Browser, service: ApiService
) -> None:
    with login(chromium, service) as one:
        expect(one.page.locator(".host")).to_contain_text("127.0.0.1, a program on this computer")
        check_accessible(one.page)
        # A person without a mouse: the last button behind the one that declines.
        one.button("Allow with ann").press("Enter")
        told = one.answer()
    assert told["state"] == one.asked["state"]
    answer = exchange(service, one.asked, told["code"])
    assert answer.status_code == 200, answer.text
    me = service.client(answer.json()["access_token"]).get("/v1/me").json()
    assert me["account"] == wallet("ann").address
    assert set(me["scopes"]) == set(one.asked["scope"].split())


def test_the_page_shows_what_the_wallet_signs_while_it_asks(
    chromium: Browser, service: ApiService
) -> None:
    shown: list[str] = []

    def refusing(name: str, method: str, params: list[str]) -> object:
        if method == "personal_sign":
            shown.append(bytes.fromhex(params[0][2:]).decode())
            raise ValueError(REFUSED)
        return ordinary(name, method, params)

    with login(chromium, service, ask=refusing) as one:
        one.button("Allow with ann").click()
        expect(one.said).to_have_text(f"Not done: {REFUSED}")
        (text,) = shown
        assert one.page.locator("#message").text_content() == text
        check_accessible(one.page)
        # Nothing is lost by it: the person may still answer, and here says no.
        one.button("Do not allow").click()
        assert one.answer()["error"] == "access_denied"


def test_of_two_wallets_the_one_that_is_chosen_signs(
    chromium: Browser, service: ApiService
) -> None:
    with login(chromium, service, ("ann", "bob")) as one:
        expect(one.page.get_by_role("button")).to_have_text(
            ["Allow with ann", "Allow with bob", "Do not allow"]
        )
        one.button("Allow with bob").click()
        code = one.answer()["code"]
    key = exchange(service, one.asked, code).json()["access_token"]
    assert service.client(key).get("/v1/me").json()["account"] == wallet("bob").address


def test_a_browser_without_a_wallet_is_told_what_to_do(
    chromium: Browser, service: ApiService
) -> None:
    with login(chromium, service, ()) as one:
        expect(one.page.locator("#none")).to_have_text(
            "Looking for a wallet in this browser. If none appears, install one and load this page "
            "again."
        )
        expect(one.page.get_by_role("button")).to_have_text(["Do not allow"])
        check_accessible(one.page)


def test_a_request_that_cannot_be_answered_is_refused_in_words(
    chromium: Browser, service: ApiService
) -> None:
    with page_of(
        chromium, "Failed to load resource: the server responded with a status of 400 "
    ) as (
        _,
        page,
    ):
        page.goto(f"{service.url}/oauth/authorize?client_id=none")
        expect(page.get_by_role("heading")).to_have_text("Nothing to sign")
        check_accessible(page)


@pytest.mark.parametrize("is_dark", [False, True])
def test_the_front_page_goes_on_with_the_stream(
    chromium: Browser, service: ApiService, owner: httpx.Client, is_dark: bool
) -> None:
    name = f"seen live, dark: {is_dark}"
    with page_of(chromium, is_dark=is_dark) as (_, page):
        loaded: list[str] = []
        page.on("request", lambda request: loaded.append(request.url))
        page.goto(service.url)
        expect(page.locator("#live")).to_have_text("Live, from the log's stream.")
        surface = open_surface(owner, name)
        expect(page.locator("#news li a").first).to_have_text(NEWS["settings.published"])
        expect(page.locator("#news li a").nth(1)).to_have_text(NEWS["policy.published"])
        deal = {"outcome": "activated", "price": "7.25", "budget": "72.50"}
        made = owner.post(f"/v1/surfaces/{surface}/offers", json={"deal": deal, "places": 3})
        assert made.status_code == 201, made.text
        page.reload()
        expect(page.get_by_role("table", name=f"Standing offers of {name}")).to_contain_text("7.25")
        check_accessible(page)
        assert {url for url in loaded if not url.startswith(service.url)} == set()
        # What was added while the page was open looks like what was there.
        for time in page.locator("#news time").all_text_contents():
            assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", time)


@pytest.mark.parametrize("width", [360, 768])
def test_the_front_page_fits_a_narrow_screen(
    chromium: Browser, service: ApiService, owner: httpx.Client, width: int
) -> None:
    """A wide table moves by itself, and no word of one is broken in two."""
    surface = open_surface(owner, f"narrow {width}")
    deal = {"outcome": "activated", "price": "7.25", "budget": "72.50"}
    owner.post(f"/v1/surfaces/{surface}/offers", json={"deal": deal, "places": 3})
    service.sign_in(wallet("narrow"), "operator")
    with page_of(chromium) as (_, page):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(service.url)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        lines = page.locator("td", has_text="activated").evaluate_all(
            "cells => cells.map((cell) => cell.firstChild)"
            ".map((text) => { const range = document.createRange(); range.selectNode(text);"
            " return range.getClientRects().length; })"
        )
        assert set(lines) == {1}
        check_accessible(page)


def test_the_front_page_reads_without_scripts(
    chromium: Browser, service: ApiService, owner: httpx.Client
) -> None:
    open_surface(owner, "read without scripts")
    with page_of(chromium, has_scripts=False) as (_, page):
        page.goto(service.url)
        expect(page.get_by_role("heading", name="read without scripts")).to_be_visible()
        expect(page.locator("#news li").first).to_contain_text(NEWS["settings.published"])
        one = page.locator("details", has_text="Cursor (")
        expect(one.locator("pre")).to_be_hidden()
        one.locator("summary").click()
        expect(one.locator("pre")).to_contain_text('"command": "/PATH/TO/tallystick"')
        expect(page.locator("pre", has_text="--print-config")).to_contain_text(
            f"tallystick connect --api {service.url} --key-file agent.key"
        )
        expect(one.locator("pre")).to_be_visible()


@pytest.fixture(scope="module")
def settled(service: ApiService, owner: httpx.Client) -> SettledContract:
    """A contract whose outcome was paid and taken back; its last statement is not anchored yet."""
    made = SettledContract(service, owner, service.sign_in(wallet("operator"), "operator"))
    last = made.position_of("settlement", 1)
    sizes = checkpoints_beyond(service, made.position_of("outcome.reversed"))
    note_anchor(service, 0, next(size for size in sizes if size <= last))
    return made


@pytest.mark.parametrize("is_dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_receipt_is_read_on_any_screen(
    chromium: Browser, service: ApiService, settled: SettledContract, width: int, *, is_dark: bool
) -> None:
    with page_of(chromium, is_dark=is_dark) as (_, page):
        loaded: list[str] = []
        page.on("request", lambda request: loaded.append(request.url))
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(f"{service.url}/receipts/{settled.position_of('outcome.reversed')}")
        expect(page.locator(".steps > li h3")).to_have_text(
            ["Transition", "Outcome", "Event", "Reversal", "Settlement"]
        )
        expect(page.locator(".steps > li").last).to_contain_text("not anchored yet")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        check_accessible(page)
        assert {url for url in loaded if not url.startswith(service.url)} == set()


def test_what_happens_while_the_front_page_is_open_leads_to_its_receipt(
    chromium: Browser, service: ApiService, settled: SettledContract
) -> None:
    with page_of(chromium) as (_, page):
        page.goto(service.url)
        expect(page.locator("#live")).to_have_text("Live, from the log's stream.")
        service.submit("paid live", RecordPayout(settled.digest, settled.payee, "paid", 1, LATER))
        newest = page.locator("#news li a").first
        expect(newest).to_have_text(NEWS["payout"])
        expect(newest).to_have_attribute("href", re.compile(r"^/receipts/\d+$"))


def test_a_receipt_that_is_not_there_yet_is_read(
    chromium: Browser, service: ApiService, settled: SettledContract
) -> None:
    with page_of(
        chromium, "Failed to load resource: the server responded with a status of 409 "
    ) as (_, page):
        page.set_viewport_size({"width": 360, "height": 800})
        page.goto(f"{service.url}/receipts/{settled.position_of('settlement', 1)}")
        expect(page.get_by_role("heading")).to_have_text("Not anchored yet")
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        check_accessible(page)


def test_a_receipt_is_read_by_keyboard_and_without_scripts(
    chromium: Browser, service: ApiService, settled: SettledContract
) -> None:
    outcome, payout = settled.position_of("outcome"), settled.position_of("payout")
    with page_of(chromium, has_scripts=False) as (_, page):
        page.goto(f"{service.url}/receipts/{outcome}")
        links = page.get_by_role("link").all_text_contents()
        reached = []
        for _ in links:
            page.keyboard.press("Tab")
            reached.append(page.locator(":focus").text_content())
        assert reached == links
        assert links[-2:] == ["check this receipt in your browser", "its JSON"]
        page.get_by_role("link", name=f"receipt of {payout}").press("Enter")
        page.wait_for_url(f"{service.url}/receipts/{payout}")
        expect(page.get_by_role("heading", level=1)).to_have_text("Receipt of a payout")
