"""The cursors between pages."""

from api.http.answers import next_cursor


def test_only_a_full_page_has_a_next_one() -> None:
    assert next_cursor([3, 5], 2, str) == "5"
    assert next_cursor([3], 2, str) is None
    assert next_cursor([], 2, str) is None
