"""The prompts: how to begin, for people who work through a model.

What they are filled with stands in the middle of our own words, so it is an id or a short name of
few characters, and nothing that could be read as words.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import mcp_types as types
from mcp.shared.exceptions import MCPError

_ID = re.compile(r"0x[0-9a-f]{64}")
_STATE = re.compile(r"[0-9A-Za-z_.-]{1,32}")


class _Prompt(NamedTuple):
    name: str
    title: str
    description: str
    arguments: Mapping[str, str]
    text: str

    def fill(self, given: Mapping[str, str]) -> str:
        """Return the text with its arguments. Raises `MCPError` for what is none."""
        for name in self.arguments:
            if name not in given:
                raise MCPError(types.INVALID_PARAMS, f"missing: {name}")
            rule = _STATE if name == "outcome" else _ID
            if not rule.fullmatch(given[name]):
                raise MCPError(
                    types.INVALID_PARAMS,
                    f"{name} must be {rule.pattern}, not {given[name][:40]!a}",
                )
        return self.text.format_map({name: given[name] for name in self.arguments})


_SURFACE = "The surface's id: 0x and 64 small hex digits."
_PROMPTS = (
    _Prompt(
        "earn_first_payout",
        "Earn a first payout",
        "The whole way from a wallet that has nothing to a first payout, step by step.",
        {},
        "Earn a first payout here. Each step is a call of the tool that it names first. What is "
        "in backticks is exact: tools, arguments, fields of answers, values. Arguments that a step "
        "needs and does not set are fields of that name in earlier answers, or yours to choose. "
        "`after` is the `next` of the same tool's last answer.\n"
        "1. `whoami`: the `account` that you act for.\n"
        "2. `list_surfaces`: choose a `surface`.\n"
        "3. `list_offers`: its owner signs deals like these. Choose the `offer` with the most "
        "`leads`, if you can bring its outcome about.\n"
        "4. `draft_from_offer` with `opens_in`=`8 hours`: the `deal` in full. Tell the person its "
        "sentences and cautions.\n"
        "5. `read_events`: from here on you miss nothing.\n"
        "6. `sign_and_propose` with `deal`, not with the offer: that asks for a level, which a "
        "first contract gives. (Without this tool have the draft's typed data signed, and use "
        "`propose_contract`.)\n"
        "7. `read_events` with `contract`=`contract_id`, `kinds`=`contract.opened`, `wait_s`=`10` "
        "and `after`, again until `kind` is `contract.opened`: the owner has signed, and the "
        "escrow holds the budget. If it does not come, `get_proposal` says why.\n"
        "8. `get_proposal` with `contract`=`contract_id`: when it begins, in `opens_at_s`.\n"
        "9. `read_clock` with `until_s`=`opens_at_s`, again until `has_come` is `true`: what is "
        "done before does not count.\n"
        "10. `get_standing` with `operator`=`account`: the actions that you are `allowed` now.\n"
        "11. `list_leads` with `outcome`: the leads that it can pay for.\n"
        "12. `touch_lead` for each `lead`: take an `action` that is by=self, and report it. (For "
        "one by=surface use `request_action`.)\n"
        "13. `read_events` with `contract`=`contract_id`, `kinds`=`payout`, `wait_s`=`10` and "
        "`after`, again until `kind` is `payout`: some leads moved, the log is anchored, and the "
        "escrow has paid. If it takes long, `explain` says what keeps it.\n"
        "14. `list_payouts` with `contract`=`contract_id`: what you were paid.",
    ),
    _Prompt(
        "study_surface",
        "Study a surface",
        "Learn how a surface works and where an operator could help.",
        {"surface": _SURFACE},
        "Study the surface {surface}. Read it with get_surface, then read_funnel and read_history. "
        "Say in plain words: which states a lead goes through, where leads are lost, which actions "
        "there are and from which trust level, what past cohorts show, and how attribution works. "
        "Name the numbers you rely on. Do not act yet.",
    ),
    _Prompt(
        "propose_terms",
        "Propose realistic terms",
        "Work out a contract that the history supports.",
        {
            "surface": _SURFACE,
            "outcome": "The state that leads are to enter: letters, digits and _ . - alone.",
        },
        "Work out an outcome contract on the surface {surface} for leads that enter {outcome}. "
        "From read_history estimate how many will do so without us and how many more with us. "
        "Propose price, window, cap and deadline with the arithmetic shown, say what we earn in a "
        "bad, a likely and a good case, and what we risk. See by list_offers whether the owner "
        "offers better. Have the terms made by draft_contract and repeat its sentences and "
        "cautions. Then say what must be signed; the signature is made with the wallet, outside "
        "this conversation.",
    ),
    _Prompt(
        "review_proposal",
        "Review a proposal",
        "Judge a proposal as the surface's owner.",
        {"contract": "The proposal's contract id: 0x and 64 small hex digits."},
        "Review the proposal {contract}. Read it with get_proposal, what it costs with "
        "get_acceptance and the operator with get_standing. Say in plain words what it pays for, "
        "the most it can cost, what the operator has shown so far, what read_history says would "
        "happen anyway, and each caution. "
        "End with a recommendation. Do not accept or decline unless I say so.",
    ),
)


def listed() -> types.ListPromptsResult:
    """Return all prompts."""
    return types.ListPromptsResult(
        prompts=[
            types.Prompt(
                name=prompt.name,
                title=prompt.title,
                description=prompt.description,
                arguments=[
                    types.PromptArgument(name=name, description=description, required=True)
                    for name, description in prompt.arguments.items()
                ],
            )
            for prompt in _PROMPTS
        ],
        ttl_ms=86_400_000,
        cache_scope="public",
    )


def filled(name: str, arguments: Mapping[str, str]) -> types.GetPromptResult:
    """Return a prompt with its arguments. Raises `MCPError`."""
    prompt = next((prompt for prompt in _PROMPTS if prompt.name == name), None)
    if prompt is None:
        raise MCPError(types.INVALID_PARAMS, f"there is no prompt {name[:60]!r}")
    content = types.TextContent(type="text", text=prompt.fill(arguments))
    return types.GetPromptResult(
        description=prompt.description,
        messages=[types.PromptMessage(role="user", content=content)],
    )
