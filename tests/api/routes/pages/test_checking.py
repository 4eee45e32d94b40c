"""The checking page in a real browser: it judges as `tallystick verify` does, by itself."""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from playwright.sync_api import Browser, Page, Route, expect

from api.routes.pages.checking import SCRIPTS, checking_page
from orchestrator.core.common.errors import ProofError
from orchestrator.core.common.hexadecimal import to_hex
from orchestrator.core.common.keccak import keccak, to_checksum_address
from orchestrator.core.deals.terms import TERMS_TYPE, Terms
from orchestrator.core.entries import receipt as receipts
from orchestrator.core.entries.kinds import KINDS, ROLES
from tests.support.broken_receipts import broken_once, broken_receipts
from tests.support.browser import check_accessible, page_of
from tests.support.depth import PROFILE
from tests.support.market import Market, paid_receipt
from tests.support.receipts import PUBLISHER
from tests.support.true_receipts import CONTRACT, true_receipts

ROOT = Path(__file__).parents[4]
PARTS = ROOT / "api/routes/pages/page/check"
VECTORS = json.loads((ROOT / "tests/vectors/signatures.json").read_text())
BROKEN = 20_000 if PROFILE == "deep" else 1_000
# The code by which a text is refused; empty for a receipt that holds.
JUDGE = """async (texts) => {
  const found = [];
  for (const text of texts) {
    try {
      await checkReceipt(text);
      found.push("");
    } catch (error) {
      found.push(error instanceof Refused ? error.code : error.constructor.name);
    }
  }
  return found;
}"""
JUDGE_TERMS = """async ([text, all]) => {
  const { receipt } = await checkReceipt(text), found = [];
  for (const words of all) {
    try {
      checkTerms(receipt, readTerms(fromHex(words)));
      found.push("");
    } catch (error) {
      found.push(error instanceof Refused ? error.code : String(error));
    }
  }
  return found;
}"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page as a file, as somebody saves it; its address."""
    file = tmp_path_factory.mktemp("saved") / "check.html"
    file.write_bytes(checking_page())
    return file.as_uri()


@contextmanager
def opened(chromium: Browser, address: str, *expected: str, **how: bool) -> Iterator[Page]:
    with page_of(chromium, *expected, **how) as (_, page):
        page.goto(address)
        yield page


def judged(page: Page, text: str, node: str = "", **known: str) -> tuple[str, str]:
    """Have the page check a text; return the verdict's sort, and all that it says."""
    page.get_by_label("Receipt, as text").fill(text)
    page.get_by_label("A node of its chain").fill(node)
    if known:
        page.locator("details").evaluate("(details) => { details.open = true; }")
    for name, value in known.items():
        page.locator(f"#{name}").fill(value)
    page.get_by_role("button", name="Check").click()
    verdict = page.locator("#verdict")
    expect(verdict).to_have_class(re.compile("[a-z]"), timeout=20_000)
    found = verdict.get_attribute("class") or "", page.locator("main").inner_text()
    for name in known:
        page.locator(f"#{name}").fill("")
    return found


# --- Of what it is made ---------------------------------------------------------------------------


def test_the_documentation_has_the_hash_of_the_page() -> None:
    assert sha256(checking_page()).hexdigest() in (ROOT / "docs/checking.md").read_text()


def test_the_page_has_all_parts_and_refers_to_nothing() -> None:
    text = checking_page().decode()
    assert {f"{name}.js" for name in SCRIPTS} == {file.name for file in PARTS.glob("*.js")}
    assert all((PARTS / f"{name}.js").read_text() in text for name in SCRIPTS)
    assert not re.search(r"\b(?:src|href|action)=|@import|url\(|innerHTML|\beval\b", text)
    assert text.count("</script") == text.count("</style") == 1


def test_the_page_has_the_log_s_own_tables(chromium: Browser, saved: str) -> None:
    with opened(chromium, saved) as page:
        assert page.evaluate("KINDS") == [*KINDS]
        kinds_by_role = {role: [kind.name for kind in kinds] for role, kinds in ROLES.items()}
        assert page.evaluate("ROLES") == kinds_by_role
        shapes = {kind.name: kind.receipt for kind in KINDS.values() if kind.receipt is not None}
        assert page.evaluate("RECEIPTS") == {
            name: [[*shape.always], [*shape.others]] for name, shape in shapes.items()
        }
        assert page.evaluate("Object.entries(OPENINGS).map(([k, v]) => [k, Object.keys(v)])") == [
            [kind.name, [*kind.opening._fields]]
            for kinds in ROLES.values()
            for kind in kinds
            if kind.opening is not None
        ]
        assert page.evaluate("OF_CONTRACT") == [
            role for role, kinds in ROLES.items() if kinds[0].is_of_contract
        ]
        assert page.evaluate("TERMS_TYPE") == TERMS_TYPE
        for name in ("MEMBERS", "CHECKPOINT_MEMBERS", "ENTRY_MEMBERS", "PENDING_MEMBERS"):
            assert page.evaluate(name) == [*getattr(receipts, name)]


# --- It judges as the command does ----------------------------------------------------------------


def code_of(text: str) -> str:
    """Return the code by which a text is refused by the command's own check; empty if it holds."""
    try:
        receipts.check(receipts.parse(receipts.read_text(text)))
    except ProofError as error:
        return error.code
    except (ValueError, RecursionError):
        return "Unreadable"
    return ""


def test_it_refuses_what_the_command_refuses_for_the_same_reason(
    chromium: Browser, saved: str
) -> None:
    true = [document for document, _ in true_receipts()]
    texts = [json.dumps(document) for document in true]
    texts += [*broken_once(true), *broken_receipts(true, BROKEN, seed=1)]
    # Of two faults the first that is looked at is told.
    for document, _ in true_receipts():
        document["entries"][0] |= {"opening": {}, "path": ["0x00"]}
        texts.append(json.dumps(document))
    wanted = [code_of(text) for text in texts]
    # Most rules are broken by some.
    assert wanted[: len(true)] == [""] * len(true)
    assert len({*wanted}) >= 22
    with opened(chromium, saved) as page:
        found = page.evaluate(JUDGE, texts)
    differing = zip(texts, wanted, found, strict=True)
    assert [(want, got, text) for text, want, got in differing if want != got] == []


@pytest.mark.parametrize("number", range(len(true_receipts())))
def test_it_holds_a_receipt_to_terms_as_the_command_does(
    chromium: Browser, saved: str, number: int
) -> None:
    document, terms = true_receipts()[number]
    receipt = receipts.parse(document)
    changes: list[dict[str, Any]] = [
        {},
        *({name: f"0x{'11' * 20}"} for name in ("owner", "operator", "payee", "verifier")),
        *({name: bytes([7]) * 32} for name in ("log_id", "surface", "salt")),
        {"outcome": "churned"},
        *({"unit_price_units": price} for price in (0, 1, 40, 50, 10**6)),
        *({"revenue_share_bps": share} for share in (0, 999, 1001, 10_000)),
        *({"budget_units": budget} for budget in (0, 39, 40, 49, 50)),
        *({"opens_at_s": at} for at in (1, 2, 3, 4)),
        *({"deadline_s": at} for at in (1, 2, 3, 4)),
        *({"attribution_window_s": window} for window in (0, 1, 2)),
        *({"holdback_period_s": period} for period in (0, 1)),
    ]
    words, wanted = [], []
    for change in changes:
        try:
            other = dataclasses.replace(terms, **change)
        except ValueError:
            continue
        words.append(to_hex(abi_words(other)))
        try:
            receipts.check_terms(receipt, other)
        except ProofError as error:
            wanted.append(error.code)
        else:
            wanted.append("")
    assert wanted[0] == ""
    assert len({*wanted}) >= 3
    with opened(chromium, saved) as page:
        assert page.evaluate(JUDGE_TERMS, [json.dumps(document), words]) == wanted


def abi_words(terms: Terms) -> bytes:
    names = re.findall(r"[(,](\w+) ", TERMS_TYPE)
    return abi_encode([f"({','.join(names)})"], [terms.to_abi()])


def test_it_knows_whose_signature_it_is(chromium: Browser, saved: str) -> None:
    ask = "([digest, signature]) => signerOf(fromHex(digest), fromHex(signature))"
    accounts = {one["name"]: one["address"] for one in VECTORS["signers"]}
    with opened(chromium, saved) as page:
        for name, signer in (("checkpoint", "publisher"), ("verified", "verifier")):
            signed = VECTORS[name]
            found = page.evaluate(ask, [signed["digest"], signed["signature"]])
            assert found == {"account": accounts[signer], "why": ""}
        for bad in VECTORS["invalid_signatures"]:
            found = page.evaluate(ask, [bad["digest"], bad["signature"]])
            assert found["account"] is None


def test_an_id_of_a_contract_is_the_digest_of_its_terms(chromium: Browser, saved: str) -> None:
    ask = """([name, chain, contract, words]) => {
      const struct = keccak(joined(hashOf(TERMS_TYPE), fromHex(words)));
      return toHex(digestOf(name, BigInt(chain), contract, struct));
    }"""
    domain = VECTORS["escrow_domain"]
    of = [domain["name"], domain["chain_id"], domain["verifying_contract"]]
    with opened(chromium, saved) as page:
        for each in VECTORS["terms"]:
            assert page.evaluate(ask, [*of, each["abi"]]) == each["contract_id"]


# --- Without a node -------------------------------------------------------------------------------


def test_a_saved_page_shows_a_receipt_to_be_consistent_and_says_what_is_open(
    chromium: Browser, saved: str
) -> None:
    document, _ = true_receipts()[0]
    with opened(chromium, saved) as page:
        verdict, said = judged(page, json.dumps(document, indent=1))
        assert verdict == "consistent"
        assert "It is consistent. Give a node to learn whether it is true." in said
        assert f"the checkpoint is signed by {PUBLISHER}" in said
        assert f"what the signed terms of contract {to_hex(CONTRACT)} give" in said
        assert "that the log's rules give these entries and no others instead" in said
        assert "touch: entry" in said
        check_accessible(page)
        unsigned = document | {"checkpoint": document["checkpoint"] | {"signature": "0x"}}
        verdict, said = judged(page, json.dumps(unsigned))
        assert verdict == "false"
        assert "receipt-signature: the checkpoint's signature is that of no key" in said
        assert judged(page, json.dumps(document), publisher=PUBLISHER)[0] == "consistent"
        for known in (
            {"publisher": f"0x{'12' * 20}"},
            {"log_id": f"0x{'12' * 32}"},
            {"origin": "other.example"},
            {"chain_id": "1"},
        ):
            verdict, said = judged(page, json.dumps(document), **known)
            assert verdict == "false"
            assert "pin-differs" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no receipt"),
        ("{", "it is no JSON"),
        ("[" * 100, "it is nested more than 32 deep"),
        ('"' + "x" * 1_048_577 + '"', "it has more than 1048576 bytes"),
    ],
    ids=["empty", "no JSON", "deep", "long"],
)
def test_what_is_no_receipt_could_not_be_checked(
    chromium: Browser, saved: str, text: str, said: str
) -> None:
    with opened(chromium, saved) as page:
        verdict, told = judged(page, text)
        assert verdict == "unchecked"
        assert said in told


def test_a_file_is_checked_when_it_is_chosen(chromium: Browser, saved: str, tmp_path: Path) -> None:
    document, _ = true_receipts()[0]
    with opened(chromium, saved) as page:
        for name, data, verdict in (
            ("true.json", json.dumps(document).encode(), "consistent"),
            ("marked.json", b"\xef\xbb\xbf" + json.dumps(document).encode(), "unchecked"),
            ("latin.json", b'{"format": "\xe9"}', "unchecked"),
            ("other.json", b"{}", "false"),
        ):
            file = tmp_path / name
            file.write_bytes(data)
            page.get_by_label("Receipt, as a file").set_input_files(file)
            expect(page.locator("#verdict")).to_have_class(verdict)


def test_a_receipt_s_words_are_text_and_no_markup(chromium: Browser, saved: str) -> None:
    document, _ = true_receipts()[0]
    hostile = "<img src=x onerror=alert(1)>"
    with opened(chromium, saved) as page:
        verdict, said = judged(page, json.dumps(document | {hostile: 1}))
        assert verdict == "false"
        assert hostile in said
        verdict, said = judged(page, json.dumps(document | {"origin": hostile}))
        assert verdict == "consistent"
        assert f"origin {hostile}, which the receipt names itself" in said
        assert page.locator("#found img, #verdict img").count() == 0


def test_what_is_known_is_compared_in_its_form_alone(chromium: Browser, saved: str) -> None:
    document, _ = true_receipts()[0]
    named = json.dumps(document | {"origin": "0xABC.example"})
    with opened(chromium, saved) as page:
        assert judged(page, named, origin="0xABC.example")[0] == "consistent"
        assert judged(page, named, origin="0xabc.example")[0] == "false"
        for name in ("event_log", "escrow", "log_id"):
            assert judged(page, named, **{name: document[name].lower()})[0] == "consistent"
        # What is garbled says nothing of the receipt.
        for name, value in (
            ("chain_id", "31,337"),
            ("chain_id", "0"),
            ("event_log", document["event_log"][:-1]),
            ("escrow", document["log_id"]),
            ("log_id", document["log_id"][2:]),
            ("origin", "é"),
            ("publisher", "0x12"),
            ("verifier", "0x12"),
        ):
            verdict, said = judged(page, named, **{name: value})
            words = f"what you know as {name} must be"
            assert (verdict, words in said) == ("unchecked", True), said


def test_a_verdict_is_of_the_text_that_is_shown(chromium: Browser, saved: str) -> None:
    document, _ = true_receipts()[0]
    text, node = json.dumps(document), "https://node.example"
    with opened(chromium, saved) as page:
        assert judged(page, text)[0] == "consistent"
        # Another text has no verdict yet.
        page.get_by_label("Receipt, as text").fill("{}")
        assert page.locator("#verdict").inner_text() == ""
        assert page.locator("#found").inner_text() == ""
        assert judged(page, text)[0] == "consistent"
        page.get_by_label("A node of its chain").fill(node)
        assert page.locator("#verdict").inner_text() == ""
        # A check that ends late says nothing of a receipt that was given since.
        page.evaluate("""() => {
          globalThis.fetch = () => new Promise((done) => (globalThis.answer = done));
        }""")
        page.get_by_role("button", name="Check").click()
        page.evaluate("""() => new Promise((done) => {
          const look = () => (globalThis.answer ? done() : setTimeout(look, 10));
          look();
        })""")
        page.locator("#receipt").evaluate("""(area) => {
          const files = new DataTransfer();
          files.items.add(new File(["{}"], "other.json"));
          area.dispatchEvent(
            new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: files }),
          );
        }""")
        expect(page.locator("#verdict")).to_have_class("false")
        page.evaluate("answer(Response.json({ error: { message: 'late' } }))")
        page.evaluate("new Promise((done) => setTimeout(done, 50))")
        expect(page.locator("#verdict")).to_have_class("false")
        assert page.get_by_label("Receipt, as text").input_value() == "{}"


def test_the_page_s_own_server_is_no_more_trusted_than_a_file(
    chromium: Browser, saved: str
) -> None:
    document, _ = true_receipts()[0]
    true = json.dumps(document).encode()
    address = "http://127.0.0.1:9/check"
    own = "http://127.0.0.1:9/v1/receipts/"
    answers: dict[str, bytes] = {
        "1": true,
        "2": b"\xef\xbb\xbf" + true,
        "3": b'{"format": "\xe9"}',
        "4": b" " * 4_194_305,
        "6": b"{}",
    }

    def answer(route: Route) -> None:
        place = route.request.url.removeprefix(own)
        if place == "5":
            route.abort()
        else:
            route.fulfill(body=answers[place])

    failed = "Failed to load resource: net::ERR_FAILED"
    with opened(chromium, saved, failed) as page:
        page.route(
            address, lambda route: route.fulfill(body=checking_page(), content_type="text/html")
        )
        page.route(f"{own}*", answer)
        page.goto(f"{address}#/v1/receipts/1")
        expect(page.locator("#verdict")).to_have_class("consistent")
        # The address names another receipt now, and so does the page.
        for place, verdict, words in (
            ("2", "unchecked", "it is no text in UTF-8 without a byte order mark"),
            ("6", "false", "receipt-format"),
            ("3", "unchecked", "it is no text in UTF-8"),
            ("1", "consistent", ""),
            ("4", "unchecked", "this server does not answer"),
            ("5", "unchecked", "this server does not answer"),
        ):
            page.evaluate("(place) => { location.hash = `/v1/receipts/${place}`; }", place)
            expect(page.locator("#verdict")).to_have_class(verdict)
            expect(page.locator("#verdict")).to_contain_text(words)
        verdict, said = judged(page, true.decode(), "https://[")
        assert (verdict, "the node's address" in said) == ("unchecked", True), said


# --- With a node ----------------------------------------------------------------------------------


def test_a_paid_receipt_holds_by_a_real_chain_and_no_forged_one_does(
    chromium: Browser, market: Market, saved: str
) -> None:
    receipt, node = paid_receipt(market), market.sandbox.rpc_url
    text = json.dumps(receipt)
    with opened(chromium, f"{market.sandbox.url}/receipts/{receipt['position']}") as page:
        page.get_by_role("link", name="check this receipt in your browser").click()
        # The server that the page came from is asked for the receipt, and nothing else.
        expect(page.locator("#verdict")).to_have_class("consistent")
        page.get_by_label("A node of its chain").fill(node)
        page.get_by_role("button", name="Check").click()
        expect(page.locator("#verdict")).to_have_class("holds")
    with opened(chromium, saved) as page:
        verdict, said = judged(page, text, node)
        assert verdict == "holds", said
        checked = market._run(["verify", "-", "--rpc", node, "--json"], text)
        command = json.loads(checked.stdout)
        assert all(line in said for line in command["shown"]), said
        assert all(line in said for line in command["not_checked"]), said
        check_accessible(page)
        other = "0x" + "12" * 32
        for changes, wanted, words in (
            ({"origin": "other.example"}, "false", "origin-false"),
            ({"log_id": other}, "false", "log-unregistered"),
            ({"escrow": receipt["event_log"]}, "unchecked", "of another version or deployment"),
            ({"chain_id": 1}, "unchecked", "of another chain"),
            (
                {"checkpoint": receipt["checkpoint"] | {"signature": f"0x{'11' * 65}"}},
                "false",
                "receipt-signature",
            ),
        ):
            verdict, said = judged(page, json.dumps(receipt | changes), node)
            assert (verdict, words in said) == (wanted, True), said
        assert judged(page, text, node, escrow=receipt["escrow"].lower())[0] == "holds"
        verdict, said = judged(page, text, node, escrow=receipt["event_log"])
        assert (verdict, "pin-differs" in said) == ("false", True)
        assert judged(page, text, "ftp://node.example")[0] == "unchecked"
        (settlement,) = (one for one in receipt["entries"] if one["role"] == "settlement")
        verifier = to_checksum_address(f"0x{settlement['entry'][154:194]}")
        said = judged(page, text, node)[1]
        assert f"verifier {verifier}, as the terms name it" in said
        assert "is that of Tallystick's contracts" in said
        verdict, said = judged(page, text, node, verifier=verifier)
        assert (verdict, "as the terms name it" in said) == ("holds", False), said
        verdict, said = judged(page, text, node, verifier=receipt["escrow"])
        assert (verdict, "pin-differs" in said) == ("false", True), said


# A change of what a node answers: by method, and by what the answer was.
Lie = Callable[[str, list[Any], Any], Any]
ROOT_AT, LATEST, PUBLISHER_OF = "0x930b6ace", "0x1a11f53c", "0x764f73f9"
OPENING_NUMBER = to_hex(keccak(b"openingNumberOf(bytes32)")[:4])
ZERO = f"0x{'00' * 32}"


def instead(method: str, answer: Any, selector: str = "") -> Lie:
    """Answer otherwise to a method, of views to one alone."""

    def lie(asked: str, params: list[Any], true: Any) -> Any:
        is_meant = asked == method and (not selector or params[0]["data"].startswith(selector))
        return answer if is_meant else true

    return lie


def with_events(change: Callable[[dict[str, Any]], dict[str, Any] | None], name: str) -> Lie:
    """Change the events of a name, or leave them out."""
    topic = to_hex(keccak(name.encode()))

    def lie(asked: str, _: list[Any], true: Any) -> Any:
        if asked != "eth_getLogs":
            return true
        changed = [change(dict(log)) if log["topics"][0] == topic else log for log in true]
        return [log for log in changed if log is not None]

    return lie


def flipped(log: dict[str, Any]) -> dict[str, Any]:
    last = "1" if log["data"][-1] == "0" else "0"
    return log | {"data": log["data"][:-1] + last}


def with_topic(log: dict[str, Any]) -> dict[str, Any]:
    return log | {"topics": [*log["topics"][:2], f"0x{'00' * 12}{'12' * 20}"]}


OPENED = "Opened(bytes32,address,address,({}))".format(
    ",".join(re.findall(r"[(,](\w+) ", TERMS_TYPE))
)
REGISTERED = "Registered(bytes32,address,address,string)"
PAID, SETTLED = "Paid(bytes32,uint256,uint256)", "Settled(bytes32,uint256)"
NO_ANSWERS: tuple[Any, ...] = (None, 7, "0x", "0xzz", {"a": 1}, [], "x" * 100)
NO_EVENTS: tuple[Any, ...] = (7, "0x", {}, [None], [7], [{}], [{"topics": 7}], [{"topics": [None]}])


def capitals(value: Any) -> Any:
    """Spell hex in capitals, as a node may."""
    if isinstance(value, str):
        return value.upper().replace("0X", "0x")
    if isinstance(value, list):
        return [capitals(each) for each in value]
    return {n: capitals(each) for n, each in value.items()} if isinstance(value, dict) else value


# By name: the lie, the verdict, and words of it.
LIES: list[tuple[str, Lie, str, str]] = [
    ("capitals", lambda _method, _params, true: capitals(true), "holds", "the escrow has paid"),
    # What a node does not show is not called false, and not called checked; nor does a receipt hold
    # without its terms and its payout.
    ("no terms", with_events(lambda _: None, OPENED), "unchecked", "no event of its opening"),
    ("no registration", with_events(lambda _: None, REGISTERED), "holds", "shows no event of it"),
    (
        "no payout",
        with_events(lambda _: None, PAID),
        "unchecked",
        "shows no payout of the contract",
    ),
    ("no statement", with_events(lambda _: None, SETTLED), "holds", "that the escrow took the"),
    ("no events", instead("eth_getLogs", None), "unchecked", "no event of its opening"),
    (
        "no contract",
        instead("eth_call", ZERO, OPENING_NUMBER),
        "unchecked",
        "has opened no contract",
    ),
    # What it makes up is told from what it shows.
    ("other terms", with_events(flipped, OPENED), "unchecked", "terms that are not those"),
    ("another registrant", with_events(with_topic, REGISTERED), "unchecked", "another registr"),
    (
        "a payout more",
        with_events(lambda log: log | {"data": "0x" + "ff" * 32 + "00" * 32}, PAID),
        "unchecked",
        "more than the escrow has paid",
    ),
    (
        "another payout",
        with_events(lambda log: log | {"transactionHash": f"0x{'12' * 32}"}, PAID),
        "false",
        "receipt-unpaid",
    ),
    (
        "another statement",
        with_events(lambda log: log | {"data": f"0x{'0' * 19}1{log['data'][22:]}"}, SETTLED),
        "false",
        "receipt-settlement",
    ),
    (
        "another contract's event",
        with_events(lambda log: log | {"address": f"0x{'12' * 20}"}, OPENED),
        "unchecked",
        "no event of its opening",
    ),
    (
        "an event without a name",
        with_events(
            lambda log: log | {"transactionHash": log["topics"][1], "topics": []}, REGISTERED
        ),
        "holds",
        "shows no event of it",
    ),
    (
        "an event of an object",
        with_events(lambda log: log | {"address": {"toString": 1}}, REGISTERED),
        "holds",
        "shows no event of it",
    ),
    ("another root", instead("eth_call", f"0x{'12' * 32}", ROOT_AT), "false", "receipt-root"),
    ("no root", instead("eth_call", ZERO, ROOT_AT), "later", "check it again later"),
    ("no publisher", instead("eth_call", ZERO, PUBLISHER_OF), "false", "log-unregistered"),
    (
        "another publisher",
        instead("eth_call", f"0x{'00' * 12}{'12' * 20}", PUBLISHER_OF),
        "false",
        "receipt-signature",
    ),
    ("no code", instead("eth_getCode", "0x"), "unchecked", "is no contract on this chain"),
    ("another chain", instead("eth_chainId", "0x1"), "unchecked", "of another chain"),
    *(
        (f"{method}: {answer!r}", instead(method, answer), "unchecked", "")
        for method in ("eth_chainId", "eth_blockNumber", "eth_getCode", "eth_call")
        for answer in NO_ANSWERS
    ),
    *(
        (
            f"events: {answer!r}",
            instead("eth_getLogs", answer),
            "unchecked",
            "no event of its opening",
        )
        for answer in NO_EVENTS
    ),
]


def test_a_node_that_lies_or_stammers_is_not_believed(
    chromium: Browser, market: Market, saved: str
) -> None:
    receipt, node = paid_receipt(market), market.sandbox.rpc_url
    text = json.dumps(receipt)
    with opened(chromium, saved) as page:
        now: list[Lie] = [lambda _method, _params, true: true]

        def answer(route: Route) -> None:
            asked = json.loads(route.request.post_data or "")
            told = route.fetch()
            document = told.json()
            document["result"] = now[0](asked["method"], asked["params"], document.get("result"))
            route.fulfill(response=told, json=document)

        page.route(f"{node}/**", answer)
        assert judged(page, text, node)[0] == "holds"
        for name, lie, wanted, words in LIES:
            now[0] = lie
            verdict, said = judged(page, text, node)
            assert (name, verdict) == (name, wanted), said
            assert words in said, (name, said)
            assert "this page failed" not in said, (name, said)


def test_events_are_put_into_the_chain_s_order(chromium: Browser, saved: str) -> None:
    ask = """async (places) => {
      const node = new ChainNode("https://node.example");
      const address = "0x" + "12".repeat(20), id = new Uint8Array(32);
      const topics = [toHex(hashOf(SETTLED)), toHex(id)], word = "0x" + "00".repeat(32);
      const log = { address, topics, data: word, transactionHash: word };
      const logs = places.map(([blockNumber, logIndex]) => ({ ...log, blockNumber, logIndex }));
      node.ask = async () => logs;
      const found = await node.events(address, { [SETTLED]: [2, 1] }, id);
      return found.map((one) => [one.block, one.place]);
    }"""
    with opened(chromium, saved) as page:
        places = [["0x10", "0x1"], ["0x9", "0xa"], ["0x9", "0x9"], ["0xA", "0x0"]]
        wanted = [["0x9", "0x9"], ["0x9", "0xa"], ["0xa", "0x0"], ["0x10", "0x1"]]
        assert page.evaluate(ask, places) == wanted


def test_a_signature_that_this_page_cannot_ask_about_does_not_hold(
    chromium: Browser, market: Market, saved: str
) -> None:
    receipt, node = paid_receipt(market), market.sandbox.rpc_url
    wrapped = receipt["checkpoint"] | {"signature": f"0x{'6492' * 16}"}
    text = json.dumps(receipt | {"checkpoint": wrapped})
    with opened(chromium, saved) as page:
        for known in ({}, {"publisher": f"0x{'12' * 20}"}):
            verdict, said = judged(page, text, node, **known)
            assert (verdict, "who signed the checkpoint" in said) == ("unchecked", True), said


def test_a_busy_node_says_nothing_of_the_contracts(chromium: Browser, saved: str) -> None:
    ask = """async (error) => {
      const node = new ChainNode("https://node.example");
      globalThis.fetch = async () => Response.json({ error });
      return node.number("0x" + "12".repeat(20), "eventLog()").catch((trouble) => trouble.message);
    }"""
    with opened(chromium, saved) as page:
        busy = page.evaluate(ask, {"code": 429, "message": "too many requests"})
        assert busy == "node.example refuses eth_call: too many requests"
        other = page.evaluate(ask, {"code": 3, "message": "execution reverted"})
        assert "of another version or deployment, or false" in other


def test_a_log_of_many_publishers_makes_no_signature_false(chromium: Browser, saved: str) -> None:
    document, _ = true_receipts()[0]
    ask = """async ([text, count]) => {
      const { receipt } = await checkReceipt(text), before = "0x" + "12".repeat(20);
      const topics = [null, null, addressWord(before), addressWord(before)];
      const node = {
        number: async () => 0x3434n,
        accepts: async () => false,
        events: async () => Array.from({ length: count }, () => ({ topics, block: "0x1" })),
        timeOf: async () => 2n ** 40n,
      };
      return checkSigner(receipt, {}, node, [], []).catch((error) => error.constructor.name);
    }"""
    with opened(chromium, saved) as page:
        assert page.evaluate(ask, [json.dumps(document), 20]) == "Refused"
        assert page.evaluate(ask, [json.dumps(document), 21]) == "NodeTrouble"


def test_a_node_that_does_not_answer_for_a_wallet_makes_no_signature_false(
    chromium: Browser, saved: str
) -> None:
    ask = """async (error) => {
      const node = new ChainNode("https://node.example");
      node.block = "0x1";
      const wallet = "0x" + "12".repeat(20), signature = new Uint8Array(65);
      globalThis.fetch = async (_, { body }) =>
        Response.json(JSON.parse(body).method === "eth_getCode" ? { result: "0x60" } : { error });
      try {
        return String(await node.accepts(wallet, new Uint8Array(32), signature));
      } catch (trouble) {
        return trouble.constructor.name;
      }
    }"""
    with opened(chromium, saved) as page:
        for error, said in (
            ({"code": 3, "message": "no"}, "false"),
            ({"code": -32000, "message": "execution reverted"}, "false"),
            ({"code": -32000, "message": "invalid opcode: INVALID"}, "false"),
            ({"code": -32603, "message": "x", "data": "0x08c379a0"}, "false"),
            ({"code": 429, "message": "too many requests"}, "NodeTrouble"),
            ({"code": -32005, "message": "limit exceeded"}, "NodeTrouble"),
            ({"code": -32000, "message": "missing trie node"}, "NodeTrouble"),
        ):
            assert page.evaluate(ask, error) == said, error


def test_a_node_that_gives_no_end_or_no_json_is_given_up(chromium: Browser, saved: str) -> None:
    document, _ = true_receipts()[0]
    with opened(chromium, saved) as page:
        now = [""]
        headers = {"Access-Control-Allow-Origin": "*"}
        page.route(
            "https://node.example/**",
            lambda route: route.fulfill(body=now[0], headers=headers),
        )
        for body, words in (
            ("x", "does not answer eth_chainId"),
            ("[]", "answers eth_chainId by no number"),
            ("null", "does not answer eth_chainId"),
            (" " * 4_194_305, "does not answer eth_chainId"),
            ('{"error": {"message": "<b>busy</b>"}}', "refuses eth_chainId: <b>busy</b>"),
            ('{"error": 7}', "refuses eth_chainId"),
        ):
            now[0] = body
            verdict, said = judged(page, json.dumps(document), "https://node.example")
            assert verdict == "unchecked", said
            assert words in said, said
        assert page.locator("#verdict b").count() == 0
