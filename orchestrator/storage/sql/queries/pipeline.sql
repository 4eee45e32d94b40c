-- Queries of the settlement pipeline.

-- name: failed_openings
-- Openings whose transaction has ended without one, with the reason.
SELECT o.contract_id, o.tries, o.asked, t.reason
FROM openings AS o
JOIN chain_transactions AS t ON t.chain_id = %(chain_id)s AND t.sender = %(sender)s
    AND t.intent_key = o.intent_key
WHERE o.log_id = %(log_id)s AND t.fate IN ('refused', 'reverted')
ORDER BY o.contract_id
LIMIT %(limit)s;

-- name: accepted
-- Proposals that both parties signed and whose openings are due, the one that waits for longest first.
-- Those that have expired, or whose policy is not in force any more, are left alone.
SELECT p.contract_id, p.owner, p.terms, p.owner_signature, p.operator_signature,
    coalesce(o.tries, 0) AS tries, coalesce(o.asked, 0) AS asked
FROM proposals AS p
JOIN surfaces AS s ON s.log_id = p.log_id AND s.surface = p.surface
    AND '0x' || encode(s.policy_hash, 'hex') = p.terms ->> 'policy'
LEFT JOIN openings AS o ON o.log_id = p.log_id AND o.contract_id = p.contract_id
WHERE p.log_id = %(log_id)s
    AND p.owner_signature IS NOT NULL
    AND (p.terms ->> 'opens_at_s')::bigint * 1000 > %(now_ms)s
    AND (o.contract_id IS NULL OR o.next_ms <= %(now_ms)s)
    AND NOT EXISTS (
        SELECT FROM contracts AS c WHERE c.log_id = p.log_id AND c.contract_id = p.contract_id
    )
ORDER BY coalesce(o.next_ms, p.accepted_ms), p.contract_id
LIMIT %(limit)s;

-- name: note_opening
-- Keep the state of an opening. Why it failed last stays until it fails again.
INSERT INTO openings AS o
    (log_id, contract_id, tries, asked, intent_key, waits_for, reason, next_ms)
VALUES (%(log_id)s, %(contract_id)s, %(tries)s, %(asked)s, %(intent_key)s, %(waits_for)s,
    %(reason)s, %(next_ms)s)
ON CONFLICT (log_id, contract_id) DO UPDATE SET
    tries = excluded.tries, asked = excluded.asked, intent_key = excluded.intent_key,
    waits_for = excluded.waits_for, reason = coalesce(excluded.reason, o.reason),
    next_ms = excluded.next_ms;

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

-- name: statement_traces
-- The traces that statements at these positions of these contracts go on with: the newest of each, and
-- then those before them.
SELECT u.trace FROM contract_traces t, unnest(t.stated) WITH ORDINALITY AS u (trace, number)
WHERE t.log_id = %(log_id)s AND t.contract_id = ANY (%(contracts)s)
    AND t.statement = ANY (%(positions)s::bigint[])
ORDER BY u.number, t.statement DESC LIMIT %(limit)s;

-- name: last_intent
-- The newest intent whose key has this prefix; deferred where it would revert now.
SELECT intent_key, coalesce(
    fate, CASE WHEN nonce IS NULL AND refused_block IS NOT NULL THEN 'deferred' END
) AS fate
FROM chain_transactions
WHERE chain_id = %(chain_id)s AND sender = %(sender)s AND starts_with(intent_key, %(prefix)s)
ORDER BY seq DESC
LIMIT 1;

-- name: under_way
-- An intent whose key has this prefix and that may go through: it has no fate yet, and is not one
-- that would revert now.
SELECT intent_key
FROM chain_transactions
WHERE chain_id = %(chain_id)s
    AND sender = %(sender)s
    AND fate IS NULL
    AND (nonce IS NOT NULL OR refused_block IS NULL)
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
-- Keep a signature; of two pipelines' signatures the first is kept.
INSERT INTO endorsements (log_id, first, count, size, root, signature)
VALUES (%(log_id)s, %(first)s, %(count)s, %(size)s, %(root)s, %(signature)s)
ON CONFLICT DO NOTHING;
