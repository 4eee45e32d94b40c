"""Domain errors: one class for an area of the domain, one code for a rule.

A caller can branch on the rule without reading the message. The message says what was wrong, with
the value, and what to do. HTTP statuses and exit codes are chosen elsewhere.
"""

_MOST_CHARS = 60


def shorten(text: str) -> str:
    """Return at most 60 characters of a text that a message shows."""
    return text if len(text) <= _MOST_CHARS else text[: _MOST_CHARS - 3] + "..."


def shown(value: object) -> str:
    """Return any value as a message shows it."""
    return shorten(repr(value))


class DomainError(Exception):
    """A violation of a rule of the domain.

    `code` is a stable kebab-case name of the rule; the message is one line for a person.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class EntryError(DomainError):
    """A log entry, or one of its packed words, that is not canonical."""


class ProofError(DomainError):
    """A Merkle proof that does not prove what it claims, or cannot be built for these sizes."""


class PendingError(DomainError):
    """A claim that may well be true, and that the chain does not show yet."""


class TermsError(DomainError):
    """Terms that no escrow would open, or a signature that does not bind them."""


class DocumentError(DomainError):
    """A policy, or settings, that cannot govern a surface."""


class SignInError(DomainError):
    """A sign-in, or a key, that gives its bearer no account to act for."""


class RequestError(DomainError):
    """A request that the fold turns away: nothing is written to the log for it."""


class EvidenceError(DomainError):
    """A case that the log's entries do not prove, or that has not the form of one."""


class EscrowError(DomainError):
    """A call that the escrow would refuse at this time."""


class WhyError(DomainError):
    """A question that the log has no answer to."""


class InputError(DomainError):
    """A file or an option of the user that cannot be read as what it should be."""


class ReplayError(DomainError):
    """A public record that contradicts itself, the rules, or the chain."""


class LogError(DomainError):
    """A stored log that is not in the state that its writer demands."""


class ServerError(DomainError):
    """A server that was asked and refused, or did not answer as it should.

    `problem` is the server's own code of its refusal, if it has told one.
    """

    def __init__(self, code: str, message: str, problem: str = "") -> None:
        super().__init__(code, message)
        self.problem = problem


class ChainError(DomainError):
    """A node, or a contract on it, that is not what the settings say."""


class LocalError(DomainError):
    """A local server that cannot be started, or did not stay up."""
