"""The tools that need the wallet: each call is judged by the mandate, never by what was said."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import mcp_types as types

from orchestrator.connect.signer import Signer
from orchestrator.core.common.errors import DomainError, InputError
from orchestrator.core.common.untrusted import one_line, plain_text, set_apart

_WORD = re.compile(r"0x[0-9a-f]{64}")
_ID = {"type": "string", "pattern": f"^{_WORD.pattern}$"}
_SURFACE = _ID | {"description": "The surface's id."}
_DEAL = {
    "type": "object",
    "description": "A short deal in plain units, as for draft_contract: `outcome`, `price` or "
    "`share`, `at_most` or `budget`, `closes_in` and others. The payee is set on this machine.",
}


# No tool of the service has one of these names, whether ours is there or not.
RESERVED = frozenset({"sign_and_propose", "sign_acceptance", "sign_confirmed", "withdraw"})


class _Tool(NamedTuple):
    title: str
    use: str
    properties: Mapping[str, Any]
    required: tuple[str, ...]
    act: Callable[..., dict[str, Any]]


class LocalTools:
    """The wallet's tools. Only what the mandate has room for is there."""

    def __init__(self, signer: Signer) -> None:
        self._tools: dict[str, _Tool] = {}
        if signer.mandate.signs_terms:
            self._tools |= _signing(signer)
        if signer.can_withdraw:
            self._tools |= _withdrawing(signer)
        if self._tools:
            self._tools |= _finishing(signer)
        self.names = frozenset(self._tools)

    def listed(self) -> list[types.Tool]:
        """Return the tools as a client is shown them."""
        return [
            types.Tool(
                name=name,
                title=tool.title,
                description=tool.use,
                input_schema={
                    "type": "object",
                    "properties": dict(tool.properties),
                    "required": list(tool.required),
                    "additionalProperties": False,
                },
                annotations=types.ToolAnnotations(
                    title=tool.title,
                    read_only_hint=False,
                    destructive_hint=True,
                    idempotent_hint=False,
                    open_world_hint=False,
                ),
            )
            for name, tool in self._tools.items()
        ]

    def call(self, name: str, arguments: Mapping[str, Any]) -> types.CallToolResult:
        """Return a tool's result; what is refused has one too, which says why."""
        tool = self._tools.get(name)
        try:
            if tool is None:
                raise InputError(
                    "tool-not-configured",
                    f"{name} is not configured here: signing needs --outstanding and --a-day, "
                    f"withdrawing --rpc; only the person who runs this can give them",
                )
            _check_arguments(tool, arguments)
            done = tool.act(**arguments)
        except DomainError as error:
            return self.refused(error)
        # They name states and tokens as the surface's owner has called them.
        words = {name: done.pop(name) for name in ("sentences", "cautions") if name in done}
        if words:
            done |= set_apart(words)
        content = types.TextContent(type="text", text=one_line(done))
        return types.CallToolResult(content=[content], structured_content=done)

    @staticmethod
    def refused(error: DomainError) -> types.CallToolResult:
        """Return the result of a call that was refused."""
        said = plain_text(f"{error.code}: {error.message}")
        text = types.TextContent(type="text", text=said)
        return types.CallToolResult(content=[text], is_error=True)


def _signing(signer: Signer) -> dict[str, _Tool]:
    return {
        "sign_and_propose": _Tool(
            "Sign and propose",
            "Propose a contract to a surface's owner, signed with the wallet: give a short deal, "
            "or a standing offer's id as `offer`, or as `answers` the proposal that its owner has "
            "answered with other terms. The terms are made on this machine. Look at "
            "draft_contract first; do not use it to try things out.",
            {
                "surface": _SURFACE,
                "deal": _DEAL,
                "offer": _ID | {"description": "A standing offer of the surface."},
                "answers": _ID | {"description": "The proposal of yours before it."},
            },
            ("surface",),
            signer.propose,
        ),
        "sign_acceptance": _Tool(
            "Sign an acceptance",
            "Accept a proposal as the surface's owner, signed with the wallet. The escrow then "
            "takes its whole budget from the wallet's allowance; it cannot be undone. Read "
            "get_proposal and get_acceptance first.",
            {"contract": _ID | {"description": "The proposal's contract id."}},
            ("contract",),
            signer.accept,
        ),
    }


def _withdrawing(signer: Signer) -> dict[str, _Tool]:
    tool = _Tool(
        "Withdraw a credit",
        "Send what the escrow owes the wallet, because a transfer to it failed, to the address "
        "that is set on this machine. It costs gas. Pay is sent by itself: do not use it for that.",
        {"token": {"type": "string", "description": "The token's symbol or address."}},
        ("token",),
        signer.withdraw,
    )
    return {"withdraw": tool}


def _finishing(signer: Signer) -> dict[str, _Tool]:
    tool = _Tool(
        "Do what was confirmed",
        "Do what waited for a person, once the person has confirmed it by the command that the "
        "first answer named. Call it when you are told so, not over and over.",
        {"waits": {"type": "string", "description": "The id that the first answer gave."}},
        ("waits",),
        signer.finish,
    )
    return {"sign_confirmed": tool}


def _check_arguments(tool: _Tool, arguments: Mapping[str, Any]) -> None:
    """Raise InputError `arguments-wrong` for what the tool has no place for."""
    faults = [
        f"{name[:60]!r} is none of its arguments"
        for name in arguments.keys() - tool.properties.keys()
    ]
    faults += [f"{name} is missing" for name in tool.required if name not in arguments]
    for name in sorted(arguments.keys() & tool.properties.keys()):
        value, schema = arguments[name], tool.properties[name]
        kind = dict if schema["type"] == "object" else str
        if not isinstance(value, kind):
            faults.append(f"{name} must be of type {schema['type']}")
        elif "pattern" in schema and not _WORD.fullmatch(str(value)):
            faults.append(f"{name} must be 0x and 64 small hex digits")
    if faults:
        raise InputError("arguments-wrong", "; ".join(faults[:5]))
