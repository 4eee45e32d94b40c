"""Domain errors: one class for an area of the domain, one code for a rule.

A caller can branch on the rule without reading the message. The message says what was wrong, with
the value, and what to do. HTTP statuses and exit codes are chosen elsewhere.
"""


class DomainError(Exception):
    """A rule of the domain was violated.

    `code` is a stable kebab-case name of the rule; the message is one line for a person.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class EntryError(DomainError):
    """A log entry or one of its packed words is not canonical."""


class ProofError(DomainError):
    """A Merkle proof does not prove what it claims, or cannot be built for these sizes."""


class TermsError(DomainError):
    """Terms that no escrow would open, or a signature that does not bind them."""


class PolicyError(DomainError):
    """A policy document that cannot govern a surface."""


class RequestError(DomainError):
    """A request that the fold turns away: nothing is written to the log for it."""


class EvidenceError(DomainError):
    """A case that the log's entries do not prove, or that has not the form of one."""


class EscrowError(DomainError):
    """A call that the escrow would refuse at this time."""


class InputError(DomainError):
    """A file or an option that the user gave cannot be read as what it should be."""


class ReplayError(DomainError):
    """The public record contradicts itself, the rules, or the chain."""


class LogError(DomainError):
    """The stored log is not in the state that its writer demands."""


class ServerError(DomainError):
    """A server that was asked and refused, or did not answer as it should."""


class ChainError(DomainError):
    """The node, or a contract on it, is not what the settings say."""


class LocalError(DomainError):
    """A server of our own cannot be started, or did not stay up."""
