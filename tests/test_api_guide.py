"""The agent of docs/api.md, and the owner that accepts, run against the service as they stand."""

import re
from pathlib import Path
from typing import Any

from eth_account import Account

from tests.support.api_service import POLICY, open_surface, running_service, wallet

PAGE = Path(__file__).parents[1] / "docs/api.md"


def test_the_agent_and_the_owner_of_the_guide_make_a_contract(database_url: str) -> None:
    part = PAGE.read_text().partition("\n## An agent in 40 lines\n")[2].partition("\n## ")[0]
    agent, acceptance = re.findall(r"```python\n(.*?)```", part, re.DOTALL)
    assert len(agent.splitlines()) <= 40
    with running_service(database_url) as service:
        owner = service.sign_in(wallet("owner"), "owner")
        surface = open_surface(owner, "guide", attribution=POLICY["attribution"])
        key = bytes(wallet("operator").key)
        names: dict[str, Any] = {"URL": service.url, "SURFACE": surface, "KEY": key}
        exec(agent, names)  # noqa: S102 - our own page
        assert names["proposal"]["status"] == "proposed"
        names["http"].close()
        # The owner's part is in the same words, with its own wallet and key.
        names |= {"wallet": Account.from_key(wallet("owner").key), "http": owner}
        exec(acceptance, names)  # noqa: S102
        assert names["accepted"]["status"] == "accepted"
        assert names["acceptance"]["costs_at_most_units"] == "400000000"
