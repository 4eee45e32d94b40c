-- Our transactions on the chain, and the events that we saw there. Only the worker writes here; API and sequencer may
-- read the events, which are public anyway.

-- One row a signing key. `token` fences: who decides on what was read under one token stores it only
-- while the token is still the same, so of several pipelines with one key one acts at a time.
CREATE TABLE chain_accounts (
    chain_id bigint NOT NULL,
    sender address NOT NULL,
    token bigint NOT NULL DEFAULT 0,
    next_nonce bigint NOT NULL DEFAULT 0,
    finalized_block bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (chain_id, sender)
);

-- The intents, each of which shall happen on chain exactly once, in the order of `seq`. An intent's state
-- follows from its attempts and the chain; only its end is stored:
--   fate NULL       under way
--   'finalized'     succeeded in a final block
--   'reverted'      failed in a final block
--   'refused'       would have failed; no transaction was sent
CREATE TABLE chain_transactions (
    chain_id bigint NOT NULL,
    sender address NOT NULL,
    intent_key text NOT NULL CHECK (octet_length(intent_key) BETWEEN 1 AND 255),
    seq bigint GENERATED ALWAYS AS IDENTITY,
    target address NOT NULL,
    data bytea NOT NULL,
    requested_ms bigint NOT NULL,
    nonce bigint,
    gas_limit bigint,
    floor_block bigint, -- final when the nonce was given, and the nonce not spent there
    refused_block bigint,
    fate text CHECK (fate IN ('finalized', 'reverted', 'refused')),
    reason text,
    tx_hash word,
    block_number bigint,
    block_hash word,
    gas_used bigint,
    finished_ms bigint,
    PRIMARY KEY (chain_id, sender, intent_key),
    FOREIGN KEY (chain_id, sender) REFERENCES chain_accounts,
    CHECK ((nonce IS NULL) = (gas_limit IS NULL) AND (nonce IS NULL) = (floor_block IS NULL)),
    CHECK ((fate IS NULL) = (finished_ms IS NULL)),
    CHECK ((fate IN ('finalized', 'reverted')) IS TRUE = (tx_hash IS NOT NULL)),
    CHECK ((tx_hash IS NULL) = (block_number IS NULL) AND (tx_hash IS NULL) = (block_hash IS NULL)
        AND (tx_hash IS NULL) = (gas_used IS NULL))
);
CREATE UNIQUE INDEX chain_transactions_by_nonce ON chain_transactions (chain_id, sender, nonce)
    WHERE nonce IS NOT NULL;
CREATE INDEX chain_transactions_under_way ON chain_transactions (chain_id, sender, nonce, seq)
    WHERE fate IS NULL;

-- Every transaction ever signed, stored before it is sent. Those of an intent under one nonce
-- replace each other. `reply` is the node's answer to the last send; NULL: never sent.
CREATE TABLE chain_attempts (
    chain_id bigint NOT NULL,
    sender address NOT NULL,
    intent_key text NOT NULL,
    nonce bigint NOT NULL,
    seq bigint GENERATED ALWAYS AS IDENTITY,
    tx_hash word NOT NULL,
    raw bytea NOT NULL,
    max_fee_wei bigint NOT NULL,
    priority_fee_wei bigint NOT NULL,
    signed_block bigint NOT NULL,
    signed_ms bigint NOT NULL,
    reply text,
    refusals integer NOT NULL DEFAULT 0, -- sends that were refused since the last that was taken
    is_underpriced boolean NOT NULL DEFAULT false, -- the last of them was about the fee
    PRIMARY KEY (chain_id, sender, tx_hash),
    FOREIGN KEY (chain_id, sender, intent_key) REFERENCES chain_transactions
);
CREATE INDEX chain_attempts_by_intent
    ON chain_attempts (chain_id, sender, intent_key, nonce, seq);

-- The block up to which the events of an escrow and its event log were read, in final blocks.
CREATE TABLE chain_cursors (
    chain_id bigint NOT NULL,
    escrow address NOT NULL,
    block_number bigint NOT NULL,
    block_hash word, -- NULL before the first read
    PRIMARY KEY (chain_id, escrow)
);

-- Events as they stand in their blocks. Those not final are replaced as a whole with every read, so
-- that what a reorg took back is gone; a transaction that is mined again is a new event.
CREATE TABLE chain_events (
    chain_id bigint NOT NULL,
    escrow address NOT NULL,
    block_hash word NOT NULL,
    tx_hash word NOT NULL,
    log_index bigint NOT NULL,
    block_number bigint NOT NULL,
    time_s bigint NOT NULL,
    contract address NOT NULL,
    topics bytea[] NOT NULL,
    data bytea NOT NULL,
    is_final boolean NOT NULL,
    PRIMARY KEY (chain_id, escrow, block_hash, tx_hash, log_index)
);
CREATE INDEX chain_events_in_order
    ON chain_events (chain_id, escrow, is_final, block_number, log_index);
-- The first topic is the kind of an event, the second what it is about.
CREATE INDEX chain_events_by_topic ON chain_events (chain_id, escrow, (topics[1]), (topics[2]));

DO $$
DECLARE
    chain_table text;
BEGIN
    FOREACH chain_table IN ARRAY ARRAY[
        'chain_accounts', 'chain_transactions', 'chain_attempts', 'chain_cursors', 'chain_events'
    ]
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', chain_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', chain_table);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO tallystick_worker', chain_table);
        EXECUTE format(
            'CREATE POLICY worker ON %I TO tallystick_worker USING (true) WITH CHECK (true)',
            chain_table);
    END LOOP;
END $$;

GRANT UPDATE (token, next_nonce, finalized_block) ON chain_accounts TO tallystick_worker;
GRANT UPDATE (
    nonce, gas_limit, floor_block, refused_block,
    fate, reason, tx_hash, block_number, block_hash, gas_used, finished_ms
) ON chain_transactions TO tallystick_worker;
GRANT UPDATE (reply, refusals, is_underpriced) ON chain_attempts TO tallystick_worker;
GRANT UPDATE (block_number, block_hash) ON chain_cursors TO tallystick_worker;
GRANT DELETE ON chain_events TO tallystick_worker;

GRANT SELECT ON chain_events TO tallystick_api, tallystick_sequencer;
CREATE POLICY public_facts ON chain_events FOR SELECT TO tallystick_api, tallystick_sequencer
    USING (true);
