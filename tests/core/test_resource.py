"""Resources close what they hold: in reverse order, and also when they fail to open."""

import pytest

from orchestrator.core.resource import Resource, ResourceGroup


class Door(Resource):
    """A resource that notes on a list when it is closed."""

    def __init__(self, name: str, closed: list[str]) -> None:
        self._name, self._closed = name, closed

    def close(self) -> None:
        self._closed.append(self._name)


class House(ResourceGroup):
    """Two doors; the second can fail to open."""

    def __init__(self, closed: list[str], *, is_sound: bool = True) -> None:
        super().__init__()
        with self._opening():
            self._exits.enter_context(Door("front", closed))
            if not is_sound:
                raise OSError("no second door")
            self._exits.enter_context(Door("back", closed))


def test_a_with_block_closes_its_resource_even_if_it_fails() -> None:
    closed: list[str] = []
    with Door("front", closed):
        assert closed == []
    with pytest.raises(ValueError, match="inside"), Door("back", closed):
        raise ValueError("inside")
    assert closed == ["front", "back"]


def test_a_group_closes_in_reverse_order_and_once() -> None:
    closed: list[str] = []
    with House(closed) as house:
        assert closed == []
    assert closed == ["back", "front"]
    house.close()
    assert closed == ["back", "front"]


def test_a_group_that_fails_to_open_closes_what_was_open() -> None:
    closed: list[str] = []
    with pytest.raises(OSError, match="no second door"):
        House(closed, is_sound=False)
    assert closed == ["front"]
