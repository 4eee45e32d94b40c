"""The bodies of answers, and the cursors between their pages."""

from api.http.answers import Leads, next_cursor


def test_only_a_full_page_has_a_next_one() -> None:
    assert next_cursor([3, 5], 2, str) == "5"
    assert next_cursor([3], 2, str) is None
    assert next_cursor([], 2, str) is None


def test_a_page_says_how_to_go_on() -> None:
    described = Leads.model_json_schema()["properties"]["next"]
    assert described["description"] == "Give it as `after` to go on; null at the end."
