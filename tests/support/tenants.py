"""Something of two tenants, an owner and an operator, in every table of a log's database."""

import psycopg

from orchestrator.core.log.entry import address_word
from orchestrator.core.world.codec import commitment
from orchestrator.core.world.requests import (
    Arrival,
    IssueCode,
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RegisterOperator,
    RequestAction,
    Touch,
)
from orchestrator.log.inbox import OwnOrder, Submission, order_words_for
from tests.support.ledger import OPERATOR, OWNER, Ledger, genesis, pseudonym_for
from tests.support.worlds import LEADS, SURFACE, policy, rules, settings, word


def populate(log: Ledger) -> None:
    """Fill the tables of an empty log, and leave a request waiting."""
    governing = policy()
    operator = address_word(OPERATOR)
    contract = rules("contract", governing, owner=address_word(OWNER), operator=operator)
    salt, body = b"s" * 32, b"{}"
    log.submit(
        genesis(log),
        PublishPolicy(SURFACE, address_word(OWNER), governing),
        PublishSettings(SURFACE, address_word(OWNER), settings()),
        OpenContract(contract, word("transaction")),
    )
    with log.sequencer() as sequencer:
        log.drain(sequencer)
        for account in (OWNER, OPERATOR):
            with log.session(account) as session:
                pseudonym_for(
                    session, log.log_id, SURFACE, account, LEADS[0][:-1] + account[2:3].encode()
                )
        with log.session(OWNER) as session:
            order_words_for(
                session, log.log_id, SURFACE, [OwnOrder(LEADS[0], "order 1")], [word("order")]
            )
        touch = Touch(SURFACE, LEADS[0], operator, "email", commitment=commitment(salt, body))
        log.offer([Submission("touch", touch, body, salt)])
        log.submit(RegisterOperator(operator, word("profile")))
        log.submit(*[ProductEvent(SURFACE, LEADS[0], "signup", 0, 0)] * 260)
        log.submit(RequestAction(SURFACE, LEADS[0], operator, "letter", 1000))
        log.drain(sequencer)
        zero = bytes(32)
        code = IssueCode(SURFACE, word("code"), operator, 5, log.now_ms + 1000, zero, zero)
        log.submit(code)
        at_ms = log.now_ms
        log.submit(Arrival(SURFACE, LEADS[0], word("code"), False, False, "buy", 0, at_ms))
        log.drain(sequencer)
        log.submit(ProductEvent(SURFACE, LEADS[0], "buy", 0, 0))
    with psycopg.connect(log.url) as admin:
        admin.execute(
            "INSERT INTO code_names VALUES (%s, %s, %s, %s, %s, gen_random_uuid(), %s)",
            (log.log_id, word("code"), SURFACE, OPERATOR.lower(), "0" * 32, word("waiting")),
        )
        admin.execute("INSERT INTO pulses VALUES (%s, 'pipeline', 0, '{}')", (log.log_id,))
        admin.execute(
            "INSERT INTO contract_traces VALUES (%s, %s, DEFAULT, 1, DEFAULT)",
            (log.log_id, word("contract")),
        )
        for account in (OWNER, OPERATOR):
            admin.execute("INSERT INTO rate_limits VALUES (%s, 'read', 0)", (account,))
            admin.execute("INSERT INTO signin_nonces VALUES (%s, 0)", (f"nonce {account}",))
            admin.execute(
                "INSERT INTO operator_profiles VALUES (%s, 'n', 'c', '{}', NULL, NULL, 0, false)",
                (account,),
            )
            admin.execute(
                "INSERT INTO operator_memory VALUES (%s, %s, %s, 'k', '1', 2, NULL, 0)",
                (log.log_id, account, SURFACE),
            )
            admin.execute(
                "INSERT INTO leases (log_id, account, board, item, surface, holder, payer, fence,"
                " taken_ms, expires_ms) VALUES (%s, %s, %s, 'i', %s, %s, %s, 1, 0, 1)",
                (log.log_id, account, SURFACE, SURFACE, account, account),
            )
            admin.execute(
                "INSERT INTO messages (log_id, account, board, number, kind, item, surface, sender,"
                " sender_key, body, created_ms)"
                " VALUES (%s, %s, %s, 1, 'claim', 'i', %s, %s, %s, '{}', 0)",
                (log.log_id, account, SURFACE, SURFACE, account, word("key")),
            )
            admin.execute(
                "INSERT INTO confirmations"
                " SELECT sha256(key), key, sha256('d'), 9223372036854775807 FROM api_keys"
                " WHERE account = %s",
                (account,),
            )
            admin.execute(
                "INSERT INTO source_secrets VALUES "
                "(%s, sha256(%s), 'stripe', %s, %s, %s, repeat('i', 64)::bytea, "
                "repeat('o', 64)::bytea)",
                (log.log_id, word(account), account, word("key"), word("secret")),
            )
            admin.execute(
                "INSERT INTO webhooks (webhook, log_id, account, audience, events, url, created_ms)"
                " VALUES (sha256(%s), %s, %s, %s, '{action.answered}', 'https://a.example', 0)",
                (word(account), log.log_id, account, "owner" if account == OWNER else "operator"),
            )
            admin.execute(
                "INSERT INTO webhook_secrets VALUES (sha256(%s), sha256('secret'), 0, NULL)",
                (word(account),),
            )
            admin.execute(
                "INSERT INTO deliveries (webhook, position, event, created_ms, state)"
                " VALUES (sha256(%s), 1, 'action.answered', 0, 'dead')",
                (word(account),),
            )
            admin.execute(
                "INSERT INTO sign_ins VALUES (sha256(%s), 'm', '', 'n', 0, 0)", (word(account),)
            )
            admin.execute(
                "INSERT INTO authorizations VALUES (sha256(%s), sha256('b'), 'c', 'u', 's',"
                " repeat('h', 43), '{owner:read}', 'n', 0, 9223372036854775807)",
                (word(account),),
            )
        admin.execute("INSERT INTO couriers VALUES (%s, 0, 0)", (log.log_id,))
        (requested,) = admin.execute("SELECT position FROM actions").fetchone() or (0,)
        admin.execute(
            "INSERT INTO action_results VALUES (%s, %s, %s, %s, '{}')",
            (log.log_id, requested, SURFACE, LEADS[0]),
        )
        admin.execute(
            "INSERT INTO proposals VALUES (%s, %s, %s, %s, %s, '{}', 's', NULL, 0)",
            (log.log_id, word("proposal"), SURFACE, OPERATOR, OWNER),
        )
        admin.execute(
            "INSERT INTO counters VALUES (%s, %s, '{}', 0)",
            (log.log_id, word("proposal")),
        )
        admin.execute(
            "INSERT INTO offers VALUES (%s, %s, %s, %s, '{}', 0, 1, 1, 1, 1, 0, 0)",
            (log.log_id, word("offer"), SURFACE, OWNER),
        )
        admin.execute(
            "INSERT INTO openings VALUES (%s, %s, 1, 0, NULL, NULL, 'r', 0)",
            (log.log_id, word("proposal")),
        )
