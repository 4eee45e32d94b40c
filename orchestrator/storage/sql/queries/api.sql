-- Queries of the API: accounts and their keys, and reads of the log's projections by account.

-- name: add_nonce
-- Keep a sign-in nonce, shown as a secret in this transaction, until it is used or expires.
INSERT INTO signin_nonces (nonce, expires_ms) VALUES (%(nonce)s, %(expires_ms)s);

-- name: use_nonce
-- Use up a nonce that has not expired; no row if there is none.
DELETE FROM signin_nonces WHERE nonce = %(nonce)s AND expires_ms > %(now_ms)s RETURNING nonce;

-- name: add_account
-- Remember that an account signed in, and its scopes.
INSERT INTO accounts AS a (account, scopes, created_ms)
VALUES (%(account)s, %(scopes)s, %(now_ms)s)
ON CONFLICT (account) DO UPDATE SET scopes = (
    SELECT array_agg(DISTINCT s ORDER BY s) FROM unnest(a.scopes || excluded.scopes) AS s
) WHERE NOT a.scopes @> excluded.scopes;

-- name: add_key
-- Issue an API key; only its hash is kept.
INSERT INTO api_keys (account, key_hash, label, scopes, created_ms, expires_ms)
VALUES (%(account)s, %(key_hash)s, 'sign-in', %(scopes)s, %(now_ms)s, %(expires_ms)s);

-- name: key
-- The account of a key, by its hash, which was shown as a secret in this transaction.
SELECT account, scopes, expires_ms, revoked_ms IS NOT NULL AS is_revoked
FROM api_keys WHERE key_hash = %(key_hash)s;

-- name: revoke_key
-- End a key at once.
UPDATE api_keys SET revoked_ms = %(now_ms)s
WHERE account = %(account)s AND key_hash = %(key_hash)s AND revoked_ms IS NULL;

-- name: commit_unflushed
-- Do not wait for this transaction to reach the disk: losing it in a crash costs nothing.
SELECT set_config('synchronous_commit', 'off', true);

-- name: spend_allowances
-- Take from allowances, each that has enough: of each, whether it was taken from, and when it is full
-- again, in microseconds from now (GCRA, by the server's clock).
WITH moment AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us
), wanted AS (
    SELECT * FROM unnest(%(buckets)s::text[], %(costs_us)s::bigint[], %(windows_us)s::bigint[])
        AS w (bucket, cost_us, window_us), moment
), spent AS (
    INSERT INTO rate_limits AS r (account, bucket, full_at_us)
    SELECT %(account)s, bucket, now_us + cost_us FROM wanted
    WHERE cost_us <= window_us ORDER BY bucket
    ON CONFLICT (account, bucket) DO UPDATE
    SET full_at_us = greatest(r.full_at_us, (SELECT now_us FROM moment))
        + (excluded.full_at_us - (SELECT now_us FROM moment))
    WHERE greatest(r.full_at_us, (SELECT now_us FROM moment)) - (SELECT now_us FROM moment)
        + (excluded.full_at_us - (SELECT now_us FROM moment))
        <= (SELECT window_us FROM wanted WHERE wanted.bucket = r.bucket)
    RETURNING r.bucket, r.full_at_us
)
SELECT wanted.bucket, spent.bucket IS NOT NULL AS is_spent,
    greatest(0, coalesce(spent.full_at_us, r.full_at_us, now_us + window_us) - now_us) AS full_in_us
FROM wanted LEFT JOIN spent USING (bucket)
LEFT JOIN rate_limits r ON r.account = %(account)s AND r.bucket = wanted.bucket
ORDER BY wanted.bucket;

-- name: sweep_nonces
-- Forget nonces that have expired (for the worker).
DELETE FROM signin_nonces WHERE nonce IN (
    SELECT nonce FROM signin_nonces WHERE expires_ms <= %(now_ms)s LIMIT 10000);

-- name: sweep_limits
-- Forget allowances that are full again (for the worker); not one that is spent from meanwhile,
-- so the time is compared outside too, where PostgreSQL looks again at a row that it waited for.
DELETE FROM rate_limits WHERE (account, bucket) IN (
    SELECT account, bucket FROM rate_limits
    WHERE full_at_us < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint LIMIT 10000
) AND full_at_us < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;

-- Surfaces and leads ------------------------------------------------------------------------------

-- name: add_surface_name
-- Keep a surface's name, which its id proves.
INSERT INTO surface_names (log_id, surface, owner, name)
VALUES (%(log_id)s, %(surface)s, %(owner)s, %(name)s)
ON CONFLICT DO NOTHING;

-- name: surface
-- One surface with what terms repeat of its policy in force.
SELECT s.surface, s.owner, s.policy_hash, s.version, n.name, p.attribution, p.lateness_s
FROM surfaces s
JOIN policies p ON p.log_id = s.log_id AND p.hash = s.policy_hash
LEFT JOIN surface_names n ON n.log_id = s.log_id AND n.surface = s.surface
WHERE s.log_id = %(log_id)s AND s.surface = %(surface)s;

-- name: actions
-- The actions that a policy offers, with the lowest level of each.
SELECT document -> 'actions' AS actions FROM policies
WHERE log_id = %(log_id)s AND hash = %(hash)s;

-- name: lock_account
-- Let no other transaction count what this account has, until this one ends.
SELECT pg_advisory_xact_lock(hashtextextended(%(account)s, 7));

-- name: has_room
-- True, each, if this account may open one more surface and publish one more policy. Policies that
-- the log refused count too.
SELECT
    (SELECT count(*) FROM (SELECT FROM surface_names
        WHERE log_id = %(log_id)s AND owner = %(owner)s LIMIT %(surfaces)s) AS opened)
        < %(surfaces)s AS for_surface,
    (SELECT count(*) FROM (SELECT FROM requests
        WHERE log_id = %(log_id)s AND account = %(account)s AND kind = 'publish_policy'
        LIMIT %(policies)s) AS published)
        < %(policies)s AS for_policy;

-- name: surface_page
-- The surfaces after an id.
SELECT s.surface, s.owner, s.policy_hash, s.version, n.name, p.attribution, p.lateness_s
FROM surfaces s
JOIN policies p ON p.log_id = s.log_id AND p.hash = s.policy_hash
LEFT JOIN surface_names n ON n.log_id = s.log_id AND n.surface = s.surface
WHERE s.log_id = %(log_id)s AND s.surface > %(after)s
ORDER BY s.surface LIMIT %(limit)s;

-- name: operator
-- The level of an operator; no row if it is not registered.
SELECT level FROM operators WHERE log_id = %(log_id)s AND operator = %(operator)s;

-- name: lead_page
-- A surface's leads by state and pseudonym, with the caller's own touches; only owners see names.
WITH page AS MATERIALIZED (
    SELECT lead, state, since_ms, coalesce(
        (document #>> ARRAY['touches', encode(%(caller)s, 'hex'), '0'])::bigint, 0) AS own_touches
    FROM leads
    WHERE log_id = %(log_id)s AND surface = %(surface)s
        AND (%(state)s::text IS NULL OR state = %(state)s::text)
        AND (state, lead) > (%(after_state)s, %(after_lead)s::bytea)
    ORDER BY state, lead LIMIT %(limit)s
)
SELECT page.*, i.external_id
FROM page LEFT JOIN lead_identities i ON i.log_id = %(log_id)s AND i.lead = page.lead
ORDER BY page.state, page.lead;

-- name: leads_on_surface
-- Those of these leads that are on a surface.
SELECT lead FROM leads
WHERE log_id = %(log_id)s AND surface = %(surface)s AND lead = ANY (%(leads)s::bytea[]);

-- name: refused_transitions
-- Those of the runs of positions [first, first + count) that hold a refused transition.
SELECT DISTINCT run.first
FROM unnest(%(firsts)s::bigint[], %(counts)s::bigint[]) AS run (first, count)
JOIN entries e ON e.log_id = %(log_id)s
    AND e.position >= run.first AND e.position < run.first + run.count
WHERE substring(e.entry FROM 1 FOR 12) = '\x6c6561642e72656675736564';

-- name: product_events
-- Those of these requests that are product events.
SELECT request_id FROM requests
WHERE log_id = %(log_id)s AND request_id = ANY (%(request_ids)s) AND kind = 'product_event';

-- Contracts ---------------------------------------------------------------------------------------

-- name: add_proposal
-- Keep a proposal; the same terms are the same proposal.
INSERT INTO proposals
    (log_id, contract_id, surface, operator, owner, terms, operator_signature, created_ms)
VALUES (%(log_id)s, %(contract_id)s, %(surface)s, %(operator)s, %(owner)s, %(terms)s::jsonb,
    %(operator_signature)s, %(now_ms)s)
ON CONFLICT (log_id, contract_id) DO NOTHING;

-- name: open_proposals
-- How many proposals of an operator its owners can still accept: of all owners, and of this one.
SELECT count(*) AS of_all, count(*) FILTER (WHERE owner = %(owner)s) AS to_owner FROM (
    SELECT owner FROM proposals
    WHERE log_id = %(log_id)s AND operator = %(operator)s
        AND accepted_ms IS NULL AND declined_ms IS NULL
        AND (terms ->> 'opens_at_s')::bigint > %(now_s)s
    LIMIT %(limit)s
) AS open;

-- name: proposal
-- One proposal, for its parties.
SELECT p.*, c.contract_id IS NOT NULL AS is_opened, d.waits_for
FROM proposals p LEFT JOIN contracts c USING (log_id, contract_id)
LEFT JOIN deferred_openings d USING (log_id, contract_id)
WHERE p.log_id = %(log_id)s AND p.contract_id = %(contract_id)s
    AND %(account)s IN (p.owner, p.operator);

-- name: proposal_page
-- An account's proposals as owner and as operator, oldest first; the surface may be left open.
SELECT p.*, c.contract_id IS NOT NULL AS is_opened, d.waits_for
FROM proposals p LEFT JOIN contracts c USING (log_id, contract_id)
LEFT JOIN deferred_openings d USING (log_id, contract_id)
WHERE p.log_id = %(log_id)s
    AND (p.operator = %(operator)s::text OR p.owner = %(owner)s::text)
    AND (%(surface)s::bytea IS NULL OR p.surface = %(surface)s::bytea)
    AND (p.created_ms, p.contract_id) > (%(after_ms)s, %(after)s::bytea)
ORDER BY p.created_ms, p.contract_id LIMIT %(limit)s;

-- name: accept_proposal
-- Sign a proposal as its owner, unless it is decided already.
UPDATE proposals SET owner_signature = %(owner_signature)s, accepted_ms = %(now_ms)s
WHERE log_id = %(log_id)s AND contract_id = %(contract_id)s AND owner = %(account)s
    AND accepted_ms IS NULL AND declined_ms IS NULL;

-- name: decline_proposal
-- Turn a proposal down as one of its parties, unless it is decided already.
UPDATE proposals SET declined_ms = %(now_ms)s
WHERE log_id = %(log_id)s AND contract_id = %(contract_id)s AND %(account)s IN (owner, operator)
    AND accepted_ms IS NULL AND declined_ms IS NULL;

-- name: opened_terms
-- The terms of those of these contracts that were proposed here and have been opened.
SELECT contract_id, terms FROM proposals p
WHERE log_id = %(log_id)s AND contract_id = ANY (%(contract_ids)s::bytea[])
    AND EXISTS (SELECT FROM contracts c
        WHERE c.log_id = p.log_id AND c.contract_id = p.contract_id);

-- name: entries_about
-- The entries of a kind about a contract, after a position.
SELECT position, entry, opening FROM entries
WHERE log_id = %(log_id)s AND substring(entry FROM 97 FOR 32) = %(contract_id)s
    AND substring(entry FROM 1 FOR 32) = %(kind)s AND position > %(after)s
ORDER BY position LIMIT %(limit)s;

-- name: endorsed
-- The statements about a contract that were signed for jobs, after a position, with the signatures.
SELECT e.position, e.entry, signed.size, signed.root, signed.first, signed.count, signed.signature
FROM entries AS e
CROSS JOIN LATERAL (
    SELECT s.first, s.count, s.size, s.root, s.signature
    FROM endorsements AS s
    WHERE s.log_id = %(log_id)s AND s.first <= e.position
    ORDER BY s.first DESC LIMIT 1
) AS signed
WHERE e.log_id = %(log_id)s AND substring(e.entry FROM 97 FOR 32) = %(contract_id)s
    AND substring(e.entry FROM 1 FOR 32) = %(kind)s
    AND e.position > %(after)s AND e.position < signed.first + signed.count
ORDER BY e.position LIMIT %(limit)s;

-- name: paid
-- The gross sum of a contract's payouts up to a position.
SELECT coalesce(sum(entry_units(entry)), 0) AS units FROM entries
WHERE log_id = %(log_id)s AND substring(entry FROM 97 FOR 32) = %(contract_id)s
    AND substring(entry FROM 1 FOR 32) = %(kind)s AND position <= %(until)s;

-- name: payout_reaching
-- The payout with which the gross sum of a contract's payouts first reached this amount.
SELECT position FROM (
    SELECT position, sum(entry_units(entry)) OVER (ORDER BY position) AS units FROM entries
    WHERE log_id = %(log_id)s AND substring(entry FROM 97 FOR 32) = %(contract_id)s
        AND substring(entry FROM 1 FOR 32) = %(kind)s
) AS payouts WHERE units >= %(units)s ORDER BY position LIMIT 1;

-- name: settlement_of
-- The last settlement before a position that states this net amount.
SELECT position FROM entries
WHERE log_id = %(log_id)s AND substring(entry FROM 97 FOR 32) = %(contract_id)s
    AND substring(entry FROM 1 FOR 32) = %(kind)s AND position < %(before)s
    AND entry_units(entry) = %(units)s
ORDER BY position DESC LIMIT 1;

-- name: anchored
-- The smallest size beyond a position that was published on chain, in a final block.
SELECT min(('x' || encode(substring(data FROM 25 FOR 8), 'hex'))::bit(64)::bigint) AS size
FROM chain_events
WHERE chain_id = %(chain_id)s AND escrow = %(escrow)s AND contract = %(event_log)s AND is_final
    AND topics[1] = %(topic)s AND topics[2] = %(log_id)s AND octet_length(data) = 64
    AND ('x' || encode(substring(data FROM 25 FOR 8), 'hex'))::bit(64)::bigint > %(position)s;
