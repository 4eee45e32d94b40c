"""Reading a source: whole lists a page at a time, never more than the most that an answer reads."""

import pytest

from orchestrator.core.common.errors import WhyError
from orchestrator.core.why import source
from orchestrator.core.why.source import Filter, entry_at, newest, publications, read_all
from tests.support.why_market import SmallLog, deal, touched
from tests.support.worlds import LEADS, SURFACE


def test_a_list_is_read_page_by_page_up_to_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PAGE", 3)
    log = SmallLog([deal()], *[touched(500 + n) for n in range(7)])
    wanted = Filter(subject=LEADS[0])
    everything, is_cut = read_all(log.source, wanted)
    assert (len(everything), is_cut) == (8, False)
    assert [one.position for one in everything] == sorted(one.position for one in everything)
    for most, cut in ((8, False), (7, True), (2, True)):
        found, is_cut = read_all(log.source, wanted, most)
        assert (found, is_cut) == (everything[:most], cut)


def test_the_newest_is_the_last_of_its_kind() -> None:
    log = SmallLog([deal(), deal("more")])
    found = newest(log.source, Filter(surface=SURFACE, kind="contract.opened"))
    assert found is not None
    assert found.position == log.position("contract.opened", 1)
    assert newest(log.source, Filter(surface=SURFACE, kind="contract.closed")) is None


def test_publications_come_in_log_order() -> None:
    log = SmallLog([deal()])
    found = [one.position for one in publications(log.source, SURFACE, "policy.published")]
    assert found == [log.position("policy.published")]


def test_an_entry_that_the_log_has_not_is_refused() -> None:
    with pytest.raises(WhyError, match="the log has no entry 999"):
        entry_at(SmallLog([]).source, 999)
