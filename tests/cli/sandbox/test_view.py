"""The words of a beginning: commands that can be pasted, with the place of this sandbox."""

from orchestrator.cli.sandbox.view import welcome


def test_it_names_the_place_and_the_first_steps() -> None:
    text = welcome("http://127.0.0.1:8700", "http://127.0.0.1:8545", 1_440)
    for part in ("a day a minute", "http://127.0.0.1:8700/docs", "http://127.0.0.1:8545"):
        assert part in text
    assert "agent_http.py http://127.0.0.1:8700 sandbox-trial agent.key" in text
    assert "connect --api http://127.0.0.1:8700 --key-file agent.key" in text
    assert "60 seconds a second" in welcome("http://a", "http://b", 60)
