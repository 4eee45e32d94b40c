"""The directory's answers: shares of something and of nothing."""

import pytest
from pydantic import ValidationError

from api.routes.records.directory_answers import Share

NONE: dict[str, object] = {"count": 0, "units": None, "positions": [], "href": "/v1/stream"}


def test_a_share_of_nothing_has_no_points_and_none_has_more_than_all() -> None:
    share = Share.model_validate({"part": NONE, "whole": NONE, "bps": None})
    assert share.model_dump()["bps"] is None
    with pytest.raises(ValidationError, match="10000"):
        Share.model_validate({"part": NONE, "whole": NONE, "bps": 10_001})
