"""A bench of webhooks, and a receiver."""

from collections.abc import Iterator

import pytest

from tests.support.webhooks import Bench, Receiver, bench, receiving


@pytest.fixture
def site(database_url: str) -> Iterator[Bench]:
    with bench(database_url) as made:
        yield made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made
