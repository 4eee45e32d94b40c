"""The histories that forge reads are what their script writes, and what it says of them holds."""

from tests.contracts.evidence import histories


def test_the_file_is_what_the_script_writes() -> None:
    assert histories.FILE.read_text() == histories.text()


def test_only_liars_lie() -> None:
    for story in histories.stories():
        assert bool(histories.lies(story)) == (story.name != "honest"), story.name
