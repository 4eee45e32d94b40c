"""Documents: read strictly, hashed in one form, and kept in a cache that is the same as all."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.common.document import (
    CACHED_BYTES,
    MAX_DOCUMENT_BYTES,
    DocumentCache,
    canonical_json,
    check_keys,
    read_choice,
    read_integer,
    read_list,
    read_name,
    read_table,
    shown_value,
)
from orchestrator.core.common.errors import DocumentError
from orchestrator.core.surface.policy import Policy
from orchestrator.core.surface.surface_settings import SurfaceSettings
from tests.support.depth import examples
from tests.support.worlds import policy, settings

# --- Reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [{}, {"a": 1}, {"": []}])
def test_a_table_is_read_as_it_is(value: dict[str, object]) -> None:
    assert read_table(value, "it") is value


@pytest.mark.parametrize("value", [None, [], "a: 1", 7, {1: "a"}, {"a": 1, None: 2}])
def test_what_is_no_table_is_refused(value: object) -> None:
    assert refused(read_table, value, "it") == (
        "not-a-table",
        "it must be a table of keys and values",
    )


def test_a_list_is_read_up_to_its_bound() -> None:
    assert read_list([1, 2], "it", 2) == [1, 2]
    assert read_list((), "it", 0) == ()
    assert refused(read_list, [1, 2, 3], "it", 2) == ("list-too-long", "it has 3 items; at most 2")
    others: list[object] = [None, {}, "ab", 7]
    for value in others:
        assert refused(read_list, value, "it", 2)[0] == "not-a-list"


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ("a", None),
        ("ab", None),
        ("", ("key-missing", "it lacks 'a'")),
        ("b", ("key-missing", "it lacks 'a'")),
        ("ac", ("key-unknown", "it has an unknown key 'c'; it may have a, b")),
        # The first by name, so that a document is refused with the same words everywhere.
        ("aedc", ("key-unknown", "it has an unknown key 'c'; it may have a, b")),
    ],
)
def test_keys_are_those_that_are_known(keys: str, found: tuple[str, str] | None) -> None:
    table = dict.fromkeys(keys)
    if found is None:
        check_keys(table, {"a"}, {"b"}, "it")
    else:
        assert refused(check_keys, table, {"a"}, {"b"}, "it") == found


@pytest.mark.parametrize("value", ["a", "x" * 32, "a b", "!", "~"])
def test_a_name_is_a_word_of_an_entry(value: str) -> None:
    assert read_name(value, "it") == value


@pytest.mark.parametrize("value", ["", "x" * 33, " a", "a ", "é", "a\n", "\0", 7, None, ["a"]])
def test_what_is_no_name_is_refused(value: object) -> None:
    code, message = refused(read_name, value, "it")
    assert code == "name-invalid"
    assert message.startswith("it ")


def test_a_choice_is_one_of_the_texts() -> None:
    choices = ("first", "last")
    # The text that the table has, and not the one that came with the document.
    assert read_choice("first "[:-1], choices, "it") is choices[0]
    for value in ("First", "", None, 0, ["first"]):
        code, message = refused(read_choice, value, choices, "it")
        assert code == "choice-unknown"
        assert message.startswith("it must be one of first, last, not ")


@pytest.mark.parametrize(("value", "found"), [(2, 2), (9, 9), ("2", 2), ("9", 9), ("007", 7)])
def test_a_whole_number_within_its_bounds(value: object, found: int) -> None:
    assert read_integer(value, "it", 2, 9) == found


@pytest.mark.parametrize(
    "value",
    [1, 10, -3, "1", "10", "-3", "+3", " 3", "3.0", "3\n", "\u0663", "1" * 19, "", 3.0, True, None],
)
def test_what_is_no_whole_number_within_its_bounds(value: object) -> None:
    code, message = refused(read_integer, value, "it", 2, 9)
    assert code == "number-invalid"
    assert message.startswith("it must be a whole number from 2 to 9, not ")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1}, "a table"),
        ([1], "a list"),
        ((), "a list"),
        ("a", "'a'"),
        (None, "None"),
        ("x" * 1000, None),
    ],
)
def test_a_value_is_shown_in_few_characters(value: object, text: str | None) -> None:
    found = shown_value(value)
    assert text in (None, found)
    assert len(found) < 100


# --- Hashing --------------------------------------------------------------------------------------


def test_canonical_json_is_ascii_and_refuses_what_is_not_json() -> None:
    assert canonical_json({"b": "é", "a": [1, None]}) == b'{"a":[1,null],"b":"\\u00e9"}'
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_equal_values_have_equal_bytes(value: Any) -> None:
    data = canonical_json(value)
    assert json.loads(data) == value
    assert canonical_json(json.loads(json.dumps(value))) == data
    if isinstance(value, dict):
        assert canonical_json(dict(reversed(value.items()))) == data


# --- By hash --------------------------------------------------------------------------------------

ALL = {each.hash: each for each in (policy(lateness_s=number) for number in range(1, 9))}
HASHES = list(ALL)
ONE = ALL[HASHES[0]].document_bytes


def refused(read: Any, *arguments: object) -> tuple[str, str]:
    with pytest.raises(DocumentError) as caught:
        read(*arguments)
    return caught.value.code, caught.value.message


def counted() -> tuple[list[bytes], DocumentCache[Policy]]:
    """Return the hashes that a cache of three policies has loaded, and the cache."""
    loaded: list[bytes] = []

    def load(hash_: bytes) -> Policy:
        loaded.append(hash_)
        return ALL[hash_]

    return loaded, DocumentCache(load, 3 * ONE)


@examples(100)
@given(st.lists(st.sampled_from(HASHES), max_size=40))
def test_every_document_is_read_and_few_are_kept(wanted: list[bytes]) -> None:
    loaded, cache = counted()
    recent: list[bytes] = []
    for hash_ in wanted:
        known = len(loaded)
        assert cache[hash_] is ALL[hash_]
        # Loaded again unless it is among the three that were used last.
        assert (len(loaded) > known) is (hash_ not in recent)
        recent = [*(each for each in recent if each != hash_), hash_][-3:]
        assert len(cache) == len(recent)


def test_a_document_that_is_put_in_is_not_loaded() -> None:
    loaded, cache = counted()
    cache[HASHES[0]] = cache[HASHES[0]] = ALL[HASHES[0]]
    assert cache[HASHES[0]] is ALL[HASHES[0]]
    assert loaded == []
    assert len(cache) == 1


def test_a_document_larger_than_the_bound_is_kept_until_the_next() -> None:
    cache = DocumentCache(ALL.__getitem__, 1)
    assert cache[HASHES[0]] is ALL[HASHES[0]]
    assert cache[HASHES[1]] is ALL[HASHES[1]]
    assert len(cache) == 1


def test_what_cannot_be_loaded_is_not_kept() -> None:
    cache = DocumentCache(ALL.__getitem__)
    with pytest.raises(KeyError):
        cache[b"none"]
    assert len(cache) == 0


def test_documents_of_each_sort_are_kept_alike() -> None:
    governing = settings()
    cache: DocumentCache[SurfaceSettings] = DocumentCache({governing.hash: governing}.__getitem__)
    assert cache[governing.hash] is governing
    assert governing.document_bytes == len(canonical_json(governing.document()))


def test_the_largest_documents_are_a_few_hundred() -> None:
    assert CACHED_BYTES // MAX_DOCUMENT_BYTES == 256
