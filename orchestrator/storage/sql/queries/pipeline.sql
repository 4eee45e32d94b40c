-- Queries of the settlement pipeline.

-- name: defer_opening
-- Look at this contract's opening again only at a time, and say which limit it waits for.
INSERT INTO deferred_openings (log_id, contract_id, waits_for, until_ms)
VALUES (%(log_id)s, %(contract_id)s, %(waits_for)s, %(until_ms)s)
ON CONFLICT (log_id, contract_id) DO UPDATE
SET waits_for = excluded.waits_for, until_ms = excluded.until_ms;

-- name: forget_deferral
-- Forget that a contract's opening was put off.
DELETE FROM deferred_openings WHERE log_id = %(log_id)s AND contract_id = %(contract_id)s;

-- name: accepted
-- Proposals that both parties signed and no intent opens on chain yet, oldest first; not those put off.
SELECT p.contract_id, p.owner, p.terms, p.owner_signature, p.operator_signature
FROM proposals AS p
WHERE p.log_id = %(log_id)s
    AND p.owner_signature IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM chain_transactions AS t
        WHERE t.chain_id = %(chain_id)s
            AND t.intent_key = 'open:' || encode(p.contract_id, 'hex')
    )
    AND NOT EXISTS (
        SELECT FROM deferred_openings AS d
        WHERE d.log_id = p.log_id AND d.contract_id = p.contract_id AND d.until_ms > %(now_ms)s
    )
ORDER BY p.accepted_ms, p.contract_id
LIMIT %(limit)s;

-- name: forecasts_to_score
-- Forecasts whose windows have passed, oldest first, with what they were sealed with: a word that
-- holds a probability of at most 10,000 bps.
SELECT t.surface, t.operator, (t.document -> 'forecasts' -> 0 -> 0)::bigint AS forecast, p.salt,
    p.body
FROM standings AS t
JOIN private_payloads AS p ON p.log_id = t.log_id AND p.commitment = t.sealed
WHERE t.log_id = %(log_id)s AND t.sealed IS NOT NULL
    AND t.scored_from_ms < %(now_ms)s AND t.scored_from_ms >= %(since_ms)s
    AND octet_length(p.body) = 32 AND p.body <= decode(lpad(to_hex(10000), 64, '0'), 'hex')
ORDER BY t.scored_from_ms
LIMIT %(limit)s;

-- name: last_intent
-- The newest intent whose key has this prefix.
SELECT intent_key, fate
FROM chain_transactions
WHERE chain_id = %(chain_id)s AND sender = %(sender)s AND starts_with(intent_key, %(prefix)s)
ORDER BY seq DESC
LIMIT 1;

-- name: under_way
-- An intent whose key has this prefix and that has no fate yet.
SELECT intent_key
FROM chain_transactions
WHERE chain_id = %(chain_id)s
    AND sender = %(sender)s
    AND fate IS NULL
    AND starts_with(intent_key, %(prefix)s)
LIMIT 1;

-- name: transactions
-- The transactions that succeeded in a final block, oldest first.
SELECT intent_key, tx_hash, gas_used
FROM chain_transactions
WHERE chain_id = %(chain_id)s AND sender = %(sender)s AND fate = 'finalized'
ORDER BY seq
LIMIT %(limit)s;

-- name: other_log
-- Another log in this database.
SELECT log_id, origin FROM logs WHERE log_id <> %(log_id)s LIMIT 1;

-- name: endorsed
-- The position up to which statements were signed for jobs.
SELECT coalesce(max(first + count), 0) AS until FROM endorsements WHERE log_id = %(log_id)s;

-- name: endorse
-- Keep a signature; of two orchestrators' signatures the first is kept.
INSERT INTO endorsements (log_id, first, count, size, root, signature)
VALUES (%(log_id)s, %(first)s, %(count)s, %(size)s, %(root)s, %(signature)s)
ON CONFLICT DO NOTHING;
