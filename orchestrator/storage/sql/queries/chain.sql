-- Queries of the relayer and the indexer: transactions on their way, and events read back.

-- name: add_account
-- Begin to keep a signing key's nonce and fencing token.
INSERT INTO chain_accounts (chain_id, sender) VALUES (%(chain_id)s, %(sender)s)
ON CONFLICT DO NOTHING;

-- name: account
-- A signing key's next nonce, newest final block acted on, and fencing token.
SELECT token, next_nonce, finalized_block FROM chain_accounts
WHERE chain_id = %(chain_id)s AND sender = %(sender)s;

-- name: fence
-- Take the next token, unless it was taken since ours was read; then no row changes.
-- The row is locked until the commit, so of two pipelines the later one sees another token.
UPDATE chain_accounts
SET token = token + 1,
    next_nonce = greatest(next_nonce, %(next_nonce)s),
    finalized_block = greatest(finalized_block, %(finalized_block)s)
WHERE chain_id = %(chain_id)s AND sender = %(sender)s AND token = %(token)s;

-- name: add_transaction
-- Store an intent; no row changes if its key is stored already.
INSERT INTO chain_transactions (chain_id, sender, intent_key, target, data, requested_ms, trace)
VALUES (
    %(chain_id)s, %(sender)s, %(intent_key)s, %(target)s, %(data)s, %(requested_ms)s,
    nullif(%(trace)s, '')
)
ON CONFLICT (chain_id, sender, intent_key) DO NOTHING;

-- name: transaction
-- One intent with its end, or its last attempt so far.
SELECT t.intent_key, t.target, t.data, t.nonce, t.fate, t.reason, t.block_number, t.gas_used,
    coalesce(t.tx_hash, a.tx_hash) AS tx_hash, a.reply, a.refusals
FROM chain_transactions t
LEFT JOIN LATERAL (
    SELECT tx_hash, reply, refusals FROM chain_attempts a
    WHERE a.chain_id = t.chain_id AND a.sender = t.sender AND a.intent_key = t.intent_key
        AND a.nonce = t.nonce
    ORDER BY a.seq DESC LIMIT 1
) a ON true
WHERE t.chain_id = %(chain_id)s AND t.sender = %(sender)s AND t.intent_key = %(intent_key)s;

-- name: under_way
-- The attempts of the intents that have a nonce: lower nonces first, older attempts first.
SELECT t.intent_key, t.nonce, t.gas_limit, t.floor_block, a.tx_hash, a.max_fee_wei,
    a.priority_fee_wei, a.signed_block, a.reply, a.refusals, a.is_underpriced, t.trace
FROM (
    SELECT * FROM chain_transactions
    WHERE chain_id = %(chain_id)s AND sender = %(sender)s AND fate IS NULL AND nonce IS NOT NULL
    ORDER BY nonce
    LIMIT %(limit)s
) AS t
JOIN chain_attempts AS a USING (chain_id, sender, intent_key, nonce)
ORDER BY t.nonce, a.seq;

-- name: requested
-- The intents without a nonce, oldest first; those that would have failed, or could not be tried,
-- come after the others, so that they hold up none.
SELECT intent_key, target, data, refused_block, trace
FROM chain_transactions
WHERE chain_id = %(chain_id)s AND sender = %(sender)s AND fate IS NULL AND nonce IS NULL
ORDER BY refused_block NULLS FIRST, reason IS NOT NULL, seq
LIMIT %(limit)s;

-- name: raw
-- The bytes of a signed transaction.
SELECT raw FROM chain_attempts
WHERE chain_id = %(chain_id)s AND sender = %(sender)s AND tx_hash = %(tx_hash)s;

-- name: count_under_way
-- The number of intents under way.
SELECT count(*) AS count FROM chain_transactions
WHERE chain_id = %(chain_id)s AND sender = %(sender)s AND fate IS NULL;

-- name: give_nonce
-- Give an intent its nonce, before its first attempt is stored.
UPDATE chain_transactions
SET nonce = %(nonce)s, gas_limit = %(gas_limit)s, floor_block = %(floor_block)s,
    refused_block = NULL, reason = NULL
WHERE chain_id = %(chain_id)s AND sender = %(sender)s AND intent_key = %(intent_key)s
    AND fate IS NULL AND nonce IS NULL;

-- name: add_attempt
-- Store a signed transaction before it is sent.
INSERT INTO chain_attempts (
    chain_id, sender, intent_key, nonce, tx_hash, raw, max_fee_wei, priority_fee_wei, signed_block,
    signed_ms
)
VALUES (
    %(chain_id)s, %(sender)s, %(intent_key)s, %(nonce)s, %(tx_hash)s, %(raw)s, %(max_fee_wei)s,
    %(priority_fee_wei)s, %(signed_block)s, %(signed_ms)s
);

-- name: note_reply
-- Note the node's answer to a send: taken (refused: false), refused, or neither (NULL).
UPDATE chain_attempts
SET reply = %(reply)s, is_underpriced = %(is_underpriced)s,
    refusals = CASE WHEN %(is_refused)s::boolean THEN refusals + 1
        WHEN NOT %(is_refused)s::boolean THEN 0 ELSE refusals END
WHERE chain_id = %(chain_id)s AND sender = %(sender)s AND tx_hash = %(tx_hash)s;

-- name: defer
-- Note that an intent would fail now, as of this block.
UPDATE chain_transactions SET refused_block = %(refused_block)s, reason = %(reason)s
WHERE chain_id = %(chain_id)s AND sender = %(sender)s AND intent_key = %(intent_key)s
    AND fate IS NULL AND nonce IS NULL;

-- name: note_untried
-- Note why a node could not try an intent out; that says nothing of the intent.
UPDATE chain_transactions SET reason = %(reason)s
WHERE chain_id = %(chain_id)s AND sender = %(sender)s AND intent_key = %(intent_key)s
    AND fate IS NULL AND nonce IS NULL AND refused_block IS NULL
    AND reason IS DISTINCT FROM %(reason)s;

-- name: release
-- Take back the nonce that a stranger's transaction has spent.
UPDATE chain_transactions SET nonce = NULL, gas_limit = NULL, floor_block = NULL
WHERE chain_id = %(chain_id)s AND sender = %(sender)s AND intent_key = %(intent_key)s
    AND fate IS NULL;

-- name: finish
-- Store an intent's end, once.
UPDATE chain_transactions
SET fate = %(fate)s, reason = %(reason)s, tx_hash = %(tx_hash)s, block_number = %(block_number)s,
    block_hash = %(block_hash)s, gas_used = %(gas_used)s, finished_ms = %(finished_ms)s
WHERE chain_id = %(chain_id)s AND sender = %(sender)s AND intent_key = %(intent_key)s
    AND fate IS NULL;

-- name: add_cursor
-- Begin to read an escrow's events after this block.
INSERT INTO chain_cursors (chain_id, escrow, block_number)
VALUES (%(chain_id)s, %(escrow)s, %(block_number)s)
ON CONFLICT DO NOTHING;

-- name: cursor
-- The last final block up to which an escrow's events were read.
SELECT block_number, block_hash FROM chain_cursors
WHERE chain_id = %(chain_id)s AND escrow = %(escrow)s;

-- name: move_cursor
-- Move the cursor, unless it was moved since it was read; then no row changes.
UPDATE chain_cursors SET block_number = %(block_number)s, block_hash = %(block_hash)s
WHERE chain_id = %(chain_id)s AND escrow = %(escrow)s AND block_number = %(from_block)s;

-- name: forget_events
-- Forget all events that are not final.
DELETE FROM chain_events
WHERE chain_id = %(chain_id)s AND escrow = %(escrow)s AND NOT is_final;

-- name: add_event
-- Store an event.
INSERT INTO chain_events (
    chain_id, escrow, block_hash, tx_hash, log_index, block_number, time_s, contract, topics, data,
    is_final
)
VALUES (
    %(chain_id)s, %(escrow)s, %(block_hash)s, %(tx_hash)s, %(log_index)s, %(block_number)s,
    %(time_s)s, %(contract)s, %(topics)s, %(data)s, %(is_final)s
);

-- name: final_events
-- The final events of a kind after one place in the chain, in its order.
SELECT block_hash, tx_hash, log_index, block_number, time_s, contract, topics, data
FROM chain_events
WHERE chain_id = %(chain_id)s AND escrow = %(escrow)s AND is_final
    AND (block_number, log_index) > (%(block_number)s, %(log_index)s)
    AND topics[1] = %(topic)s
ORDER BY block_number, log_index
LIMIT %(limit)s;

-- name: final_events_about
-- The final events about this after one place in the chain, in its order.
SELECT block_hash, tx_hash, log_index, block_number, time_s, contract, topics, data
FROM chain_events
WHERE chain_id = %(chain_id)s AND escrow = %(escrow)s AND is_final
    AND (block_number, log_index) > (%(block_number)s, %(log_index)s)
    AND topics[1] = ANY (%(kinds)s) AND topics[2] = %(about)s
ORDER BY block_number, log_index
LIMIT %(limit)s;

-- name: last_final_event_about
-- The newest final event of a kind about this.
SELECT block_hash, tx_hash, log_index, block_number, time_s, contract, topics, data
FROM chain_events
WHERE chain_id = %(chain_id)s AND escrow = %(escrow)s AND is_final
    AND topics[1] = %(topic)s AND topics[2] = %(about)s
ORDER BY block_number DESC, log_index DESC
LIMIT 1;

-- name: newest_event_about
-- The newest event of a kind about this, final or not.
SELECT block_hash, tx_hash, log_index, block_number, time_s, contract, topics, data
FROM chain_events
WHERE chain_id = %(chain_id)s AND escrow = %(escrow)s
    AND topics[1] = %(topic)s AND topics[2] = %(about)s
ORDER BY block_number DESC, log_index DESC
LIMIT 1;

-- name: recent_events
-- The events that are not final yet, in the chain's order.
SELECT block_hash, tx_hash, log_index, block_number, time_s, contract, topics, data
FROM chain_events
WHERE chain_id = %(chain_id)s AND escrow = %(escrow)s AND NOT is_final
ORDER BY block_number, log_index
LIMIT %(limit)s;

-- name: event_about
-- The oldest event of a kind about this, final or not.
SELECT block_hash, tx_hash, log_index, block_number, time_s, contract, topics, data
FROM chain_events
WHERE chain_id = %(chain_id)s AND escrow = %(escrow)s
    AND topics[1] = %(topic)s AND topics[2] = %(about)s
ORDER BY block_number, log_index
LIMIT 1;
