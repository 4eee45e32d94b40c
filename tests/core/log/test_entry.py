"""The entry codec: one encoding per entry, exact errors, packed fields at their bounds."""

from collections.abc import Callable

import pytest
from eth_abi.abi import encode as abi_encode
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.errors import EntryError
from orchestrator.core.entries import kinds
from orchestrator.core.log import entry
from orchestrator.core.log.entry import Entry

words = st.binary(min_size=32, max_size=32)
labels = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=32)
entries = st.builds(
    Entry,
    kind=st.sampled_from(list(kinds.KINDS)),
    surface=words,
    actor=words,
    subject=words,
    label=labels,
    value=st.integers(0, 2**256 - 1),
    time_ms=st.integers(0, 2**63 - 1),
    payload=words,
)
u40 = st.integers(0, 2**40 - 1)
u48 = st.integers(0, 2**48 - 1)
u80 = st.integers(0, 2**80 - 1)

SAMPLE = Entry(
    kind="touch",
    surface=b"\x01" * 32,
    actor=entry.address_word("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    subject=b"\x03" * 32,
    label="email.sent",
    value=7,
    time_ms=1_760_000_000_123,
    payload=b"\x04" * 32,
)


def refused(code: str, action: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(EntryError) as caught:
        action(*arguments)
    assert caught.value.code == code
    return str(caught.value)


@given(entries)
def test_encoding_is_abi_encoding_and_decodes_to_the_same_entry(entry: Entry) -> None:
    data = kinds.encode(entry)
    assert data == abi_encode(
        ["bytes32", "bytes32", "bytes32", "bytes32", "bytes32", "uint256", "uint256", "bytes32"],
        [
            entry.kind.encode(),
            entry.surface,
            entry.actor,
            entry.subject,
            entry.label.encode(),
            entry.value,
            entry.time_ms,
            entry.payload,
        ],
    )
    assert kinds.decode(data) == entry


@given(entries, st.integers(0, 255), st.integers(1, 255))
def test_what_decodes_is_what_encode_would_write(entry: Entry, at: int, flip: int) -> None:
    data = bytearray(kinds.encode(entry))
    data[at] ^= flip
    try:
        decoded = kinds.decode(bytes(data))
    except EntryError:
        return
    assert kinds.encode(decoded) == bytes(data)
    assert decoded != entry


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_an_entry_error(data: bytes) -> None:
    refused("entry-length" if len(data) != 256 else "kind-unknown", kinds.decode, data)


def test_every_kind_has_a_word_of_its_own() -> None:
    written = {kinds.encode(SAMPLE._replace(kind=kind))[:32] for kind in kinds.KINDS}
    assert len(written) == len(kinds.KINDS) == len(set(kinds.KINDS))


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("kind-unknown", {"kind": "toucH"}),
        ("kind-unknown", {"kind": ""}),
        ("word-length", {"surface": b"\x01" * 31}),
        ("word-length", {"actor": b"\x01" * 33}),
        ("word-length", {"subject": b""}),
        ("word-length", {"payload": b"\x01" * 20}),
        ("label-too-long", {"label": "x" * 33}),
        ("label-not-ascii", {"label": "naïve"}),
        ("label-not-ascii", {"label": "a\0b"}),
        ("label-not-ascii", {"label": "tab\t"}),
        ("label-not-ascii", {"label": "\x7f"}),
        ("value-range", {"value": -1}),
        ("value-range", {"value": 2**256}),
        ("time-range", {"time_ms": -1}),
        ("time-range", {"time_ms": 2**63}),
    ],
)
def test_encode_refuses(code: str, fields: dict[str, object]) -> None:
    refused(code, kinds.encode, SAMPLE._replace(**fields))  # type: ignore[arg-type]


def test_integers_past_what_python_prints_are_refused_like_any_other() -> None:
    huge = 10**5000
    message = refused("value-range", kinds.encode, SAMPLE._replace(value=huge))
    assert message == "value of 16610 bits is not in [0, 2^256)"
    refused("time-range", kinds.encode, SAMPLE._replace(time_ms=-huge))
    refused("field-range", entry.pack_settlement, huge, 0, 0, 0)


def test_words_of_wrong_lengths_do_not_make_up_for_each_other() -> None:
    shifted = SAMPLE._replace(actor=b"\x01" * 31, subject=b"\x01" * 33)
    message = refused("word-length", kinds.encode, shifted)
    assert message == "actor has 31 bytes; a word has 32"


def test_bounds_are_encoded() -> None:
    top = SAMPLE._replace(value=2**256 - 1, time_ms=2**63 - 1, label="~" * 32)
    assert kinds.decode(kinds.encode(top)) == top
    bottom = SAMPLE._replace(value=0, time_ms=0, label="")
    assert kinds.decode(kinds.encode(bottom)) == bottom


@pytest.mark.parametrize(
    ("code", "word", "content"),
    [
        ("kind-unknown", 0, b"touch\0\0x".ljust(32, b"\0")),
        ("kind-unknown", 0, b"touch".rjust(32, b"\0")),
        ("kind-unknown", 0, bytes(32)),
        ("label-not-ascii", 4, b"\0paid".ljust(32, b"\0")),
        ("label-not-ascii", 4, b"pa\0id".ljust(32, b"\0")),
        ("label-not-ascii", 4, b"pa\xffid".ljust(32, b"\0")),
        ("label-not-ascii", 4, b"pa\x85id".ljust(32, b"\0")),
        ("label-not-ascii", 4, b"pa\xa0id".ljust(32, b"\0")),
        ("label-not-ascii", 4, b"paid\n".ljust(32, b"\0")),
        ("time-range", 6, b"\x80".rjust(25, b"\0").ljust(32, b"\0")),
        ("time-range", 6, b"\x01".ljust(32, b"\0")),
    ],
)
def test_decode_refuses_words_that_encode_never_writes(
    code: str, word: int, content: bytes
) -> None:
    data = kinds.encode(SAMPLE)
    forged = data[: 32 * word] + content + data[32 * (word + 1) :]
    assert len(forged) == 256
    refused(code, kinds.decode, forged)


@pytest.mark.parametrize("length", [0, 32, 255, 257, 512])
def test_decode_refuses_other_lengths(length: int) -> None:
    refused("entry-length", kinds.decode, (kinds.encode(SAMPLE) * 2)[:length])


def test_address_word_takes_either_case_and_nothing_else() -> None:
    mixed = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    word = bytes(12) + bytes.fromhex(mixed[2:])
    assert entry.address_word(mixed) == entry.address_word(mixed.lower()) == word
    for text in ("", "0x", mixed[2:], mixed[:-1], mixed + "0", "0X" + mixed[2:], f" {mixed}"):
        refused("address-malformed", entry.address_word, text)
    for spaced in (mixed[:-2] + " 8", mixed[:-1] + "_", mixed[:-1] + "٣"):
        refused("address-malformed", entry.address_word, spaced)


@given(u40, u40, u40, u40, u80)
def test_outcome_facts_survive_packing(
    transition: int, touch: int, prev: int, n: int, earned_after: int
) -> None:
    facts = (transition, touch, prev, n, earned_after)
    payload = entry.pack_outcome(*facts)
    assert entry.unpack_outcome(payload) == facts
    assert payload.hex() == "".join(f"{v:010x}" for v in facts[:4]) + f"{earned_after:020x}0000"


@given(u40, u40, u40, u40, u80)
def test_reversal_facts_survive_packing(
    outcome: int, event: int, prev: int, n: int, reversed_after: int
) -> None:
    facts = (outcome, event, prev, n, reversed_after)
    payload = entry.pack_reversal(*facts)
    assert entry.unpack_reversal(payload) == facts
    assert payload.hex() == "".join(f"{v:010x}" for v in facts[:4]) + f"{reversed_after:020x}0000"


@given(u80, u80, u48, u48)
def test_settlement_facts_survive_packing(
    earned: int, reversed_units: int, last_outcome: int, last_reversal: int
) -> None:
    facts = (earned, reversed_units, last_outcome, last_reversal)
    payload = entry.pack_settlement(*facts)
    assert entry.unpack_settlement(payload) == facts
    assert payload.hex() == (
        f"{earned:020x}{reversed_units:020x}{last_outcome:012x}{last_reversal:012x}"
    )


@pytest.mark.parametrize(
    ("pack", "bits"),
    [
        (entry.pack_outcome, (40, 40, 40, 40, 80)),
        (entry.pack_reversal, (40, 40, 40, 40, 80)),
        (entry.pack_settlement, (80, 80, 48, 48)),
    ],
)
def test_packed_fields_are_bounded(pack: Callable[..., bytes], bits: tuple[int, ...]) -> None:
    pack(*(2**width - 1 for width in bits))
    for at, width in enumerate(bits):
        for value in (-1, 2**width):
            facts = [0] * len(bits)
            facts[at] = value
            refused("field-range", pack, *facts)


@pytest.mark.parametrize("unpack", [entry.unpack_outcome, entry.unpack_reversal])
def test_padding_is_zero(unpack: Callable[[bytes], object]) -> None:
    unpack(b"\xff" * 30 + b"\0\0")
    for padding in (b"\0\x01", b"\x80\0"):
        refused("padding-not-zero", unpack, b"\xff" * 30 + padding)


@pytest.mark.parametrize(
    "unpack", [entry.unpack_outcome, entry.unpack_reversal, entry.unpack_settlement]
)
def test_payloads_are_words(unpack: Callable[[bytes], object]) -> None:
    for length in (0, 31, 33):
        refused("word-length", unpack, bytes(length))
