"""Something of two tenants, an owner and an operator, in every table of a log's database."""

import psycopg

from orchestrator.core.codec import commitment
from orchestrator.core.entry import address_word
from orchestrator.core.requests import (
    OpenContract,
    ProductEvent,
    PublishPolicy,
    PublishSettings,
    RegisterOperator,
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
        log.drain(sequencer)
        log.submit(ProductEvent(SURFACE, LEADS[0], "buy", 0, 0))
    with psycopg.connect(log.url) as admin:
        for account in (OWNER, OPERATOR):
            admin.execute("INSERT INTO rate_limits VALUES (%s, 'read', 0)", (account,))
            admin.execute("INSERT INTO signin_nonces VALUES (%s, 0)", (f"nonce {account}",))
            admin.execute(
                "INSERT INTO operator_profiles VALUES (%s, 'n', 'c', '{}', NULL, NULL, 0)",
                (account,),
            )
            admin.execute(
                "INSERT INTO operator_memory VALUES (%s, %s, %s, 'k', '1', 2, NULL, 0)",
                (log.log_id, account, SURFACE),
            )
            admin.execute(
                "INSERT INTO sign_ins VALUES (sha256(%s), 'm', '', 'n', 0, 0)", (word(account),)
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
            "INSERT INTO openings VALUES (%s, %s, 1, 0, NULL, 'r', 0)",
            (log.log_id, word("proposal")),
        )
