-- Queries of the API: accounts and their keys, and reads of the log's projections by account.

-- name: add_nonce
-- Give a sign-in nonce out; when it expires, by the database's clock.
INSERT INTO signin_nonces (nonce, expires_ms) VALUES (%(nonce)s, %(expires_ms)s);

-- name: ask_sign_in
-- Have the registrar decide a sign-in; the transaction presents the secret of the key to be minted.
WITH asked AS (
    INSERT INTO sign_ins (secret_hash, message, signature, name, created_ms, expires_ms)
    SELECT sha256(presented()), %(message)s, %(signature)s, %(name)s, now_ms, now_ms + %(ttl_ms)s
    FROM (SELECT clock_ms() AS now_ms) AS moment
    RETURNING secret_hash
)
SELECT pg_notify('tallystick_sign_ins', '') FROM asked;

-- name: sign_in_refusal
-- The registrar's refusal of the sign-in whose key this transaction presents; no row for none.
SELECT code, detail FROM sign_ins WHERE secret_hash = sha256(presented()) AND code IS NOT NULL;

-- name: sign_ins_are_full
-- True if no more sign-ins may wait.
SELECT sign_ins_are_full(10000) AS is_full;

-- name: key_page
-- The keys that the caller may see, oldest first, ended ones too; a key ends with its parent.
SELECT k.key, k.parent, k.name, k.scopes, k.surfaces, k.created_ms,
    least(k.expires_ms, p.expires_ms) AS expires_ms, least(k.revoked_ms, p.revoked_ms) AS revoked_ms
FROM api_keys k LEFT JOIN api_keys p ON p.key = k.parent
WHERE k.account = (SELECT current_account())
    AND (k.created_ms, k.key) > (%(after_ms)s, %(after)s::bytea)
ORDER BY k.created_ms, k.key LIMIT %(limit)s;

-- name: key
-- One of the keys that the caller may see.
SELECT k.key, k.parent, k.name, k.scopes, k.surfaces, k.created_ms,
    least(k.expires_ms, p.expires_ms) AS expires_ms, least(k.revoked_ms, p.revoked_ms) AS revoked_ms
FROM api_keys k LEFT JOIN api_keys p ON p.key = k.parent
WHERE k.account = (SELECT current_account()) AND k.key = %(key)s;

-- name: add_delegate
-- Make a key by the caller's own, with no more than it has.
INSERT INTO api_keys
    (key, account, secret_hash, parent, name, scopes, surfaces, created_ms, expires_ms)
VALUES (%(key)s, current_account(), sha256(%(secret)s), current_key(), %(name)s, %(scopes)s,
    %(surfaces)s::bytea[], clock_ms(), %(expires_ms)s);

-- name: name_key
-- Give a key another name.
UPDATE api_keys SET name = %(name)s WHERE key = %(key)s;

-- name: end_key
-- Let a key that was replaced live this long at most.
UPDATE api_keys SET expires_ms = least(expires_ms, clock_ms() + %(overlap_ms)s)
WHERE key = %(key)s;

-- name: revoke_key
-- End a key at once, and with it the delegates that it has made.
UPDATE api_keys SET revoked_ms = clock_ms() WHERE key = %(key)s AND revoked_ms IS NULL;

-- name: revoke_keys
-- End all keys of the caller's account at once, its own among them.
UPDATE api_keys SET revoked_ms = clock_ms()
WHERE account = (SELECT current_account()) AND revoked_ms IS NULL;

-- name: commit_unflushed
-- Do not wait for this transaction to reach the disk: losing it in a crash costs nothing.
SELECT set_config('synchronous_commit', 'off', true);

-- name: spend_allowances
-- Take from allowances, each that has enough: of each, whether it was taken from, and when it is full
-- again, in microseconds from now.
SELECT bucket, is_spent, full_in_us
FROM spend_for_caller(
    %(account)s, %(buckets)s::text[], %(costs_us)s::bigint[], %(windows_us)s::bigint[]);

-- name: admit
-- Let a request in by the secret of a key: what is known of the key, the place of the costs that count,
-- and of each allowance what `spend_allowances` says; no row for an unknown key. Undivided costs are those of
-- several requests, which are charged all or, without a name of one, not at all.
SELECT account, key, name, parent, scopes, surfaces, expires_ms, state,
    place, bucket, is_spent, full_in_us
FROM admit(
    %(secret)s, %(log_id)s, %(surface)s::bytea, %(scopes)s::text[], %(buckets)s::text[],
    %(costs_us)s::bigint[], %(windows_us)s::bigint[], %(undivided)s);

-- name: sweep_nonces
-- Forget nonces that have expired, used ones too (for the worker).
DELETE FROM signin_nonces WHERE nonce IN (
    SELECT nonce FROM signin_nonces WHERE expires_ms <= clock_ms() LIMIT 10000);

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

-- name: surface_is_known
-- A row if there is this surface.
SELECT surface FROM surfaces WHERE log_id = %(log_id)s AND surface = %(surface)s;

-- name: surface_settings
-- A surface with the settings in force, NULL before the first.
SELECT s.surface, s.owner, s.policy_hash, s.settings_hash, s.settings_version, s.pool,
    t.document AS settings
FROM surfaces s LEFT JOIN settings t ON t.log_id = s.log_id AND t.hash = s.settings_hash
WHERE s.log_id = %(log_id)s AND s.surface = %(surface)s;

-- name: cohorts
-- The counts of a surface's leads that forecasts are measured by.
SELECT cohorts FROM surfaces WHERE log_id = %(log_id)s AND surface = %(surface)s;

-- name: standing
-- The standing of an operator on a surface.
SELECT operator, level, ground, is_suspended, document FROM standings
WHERE log_id = %(log_id)s AND surface = %(surface)s AND operator = %(operator)s;

-- name: standing_page
-- The standings on a surface after an operator's word.
SELECT operator, level, ground, is_suspended, document FROM standings
WHERE log_id = %(log_id)s AND surface = %(surface)s AND operator > %(after)s
ORDER BY operator LIMIT %(limit)s;

-- name: lock_account
-- Let no other transaction count what this account has, until this one ends.
SELECT pg_advisory_xact_lock(hashtextextended(%(account)s, 7));

-- name: has_room
-- True, each, if this account may open one more surface, and publish one more policy and one more
-- version of settings. Those that the log refused count too.
SELECT
    (SELECT count(*) FROM (SELECT FROM surface_names
        WHERE log_id = %(log_id)s AND owner = %(owner)s LIMIT %(surfaces)s) AS opened)
        < %(surfaces)s AS for_surface,
    (SELECT count(*) FROM (SELECT FROM requests
        WHERE log_id = %(log_id)s AND account = %(account)s AND kind = 'publish_policy'
        LIMIT %(policies)s) AS published)
        < %(policies)s AS for_policy,
    (SELECT count(*) FROM (SELECT FROM requests
        WHERE log_id = %(log_id)s AND account = %(account)s AND kind = 'publish_settings'
        LIMIT %(settings)s) AS published)
        < %(settings)s AS for_settings;

-- name: surface_page
-- The surfaces after an id; of some, if they are named.
SELECT s.surface, s.owner, s.policy_hash, s.version, n.name, p.attribution, p.motions
FROM surfaces s
JOIN policies p ON p.log_id = s.log_id AND p.hash = s.policy_hash
LEFT JOIN surface_names n ON n.log_id = s.log_id AND n.surface = s.surface
WHERE s.log_id = %(log_id)s AND s.surface > %(after)s
    AND (%(surfaces)s::bytea[] IS NULL OR s.surface = ANY (%(surfaces)s::bytea[]))
ORDER BY s.surface LIMIT %(limit)s;

-- name: operator_page
-- The operators after a word.
SELECT operator, registered FROM operators
WHERE log_id = %(log_id)s AND operator > %(after)s ORDER BY operator LIMIT %(limit)s;

-- name: operator
-- One operator.
SELECT operator, registered FROM operators WHERE log_id = %(log_id)s AND operator = %(operator)s;

-- name: standings_of
-- The standings of an operator, by surface after an id.
SELECT surface, level, ground, is_suspended, document FROM standings
WHERE log_id = %(log_id)s AND operator = %(operator)s AND surface > %(after)s
ORDER BY surface LIMIT %(limit)s;

-- name: live_contracts
-- Of the newest contracts of surfaces those that are live: budgets, and what they owe, by token.
SELECT c.surface, decode(c.rules ->> 'token', 'hex') AS token, count(*) AS contracts,
    sum((c.rules ->> 'budget_units')::numeric) AS budget_units,
    sum(c.earned_units - c.reversed_units) AS owed_units,
    (array_agg(c.opened ORDER BY c.opened DESC))[1:%(most)s::integer] AS positions
FROM unnest(%(surfaces)s::bytea[]) AS here (surface)
CROSS JOIN LATERAL (
    SELECT * FROM contracts n
    WHERE n.log_id = %(log_id)s AND n.surface = here.surface
    ORDER BY n.opened DESC LIMIT %(newest)s
) AS c
WHERE c.motion <> '' AND c.closed_at_ms IS NULL
    AND (c.rules ->> 'deadline_ms')::bigint >= %(now_ms)s
GROUP BY c.surface, token ORDER BY c.surface, token;

-- name: contracts_beside
-- The live contracts of an operator for an outcome of a surface, oldest first.
SELECT * FROM contracts
WHERE log_id = %(log_id)s AND operator = %(operator)s AND surface = %(surface)s
    AND closed_at_ms IS NULL AND rules ->> 'outcome' = %(outcome)s
    AND (rules ->> 'deadline_ms')::bigint >= %(now_ms)s
ORDER BY opened LIMIT %(limit)s;

-- name: disputes_on
-- Of the newest contracts of surfaces, how many a party has disputed on chain, and where.
SELECT c.surface AS party, count(DISTINCT c.contract_id) AS contracts,
    count(DISTINCT e.topics[2]) AS disputed,
    (array_agg(DISTINCT e.tx_hash::bytea) FILTER (WHERE e.tx_hash IS NOT NULL))[1:%(most)s::integer]
        AS transactions
FROM unnest(%(parties)s::bytea[]) AS here (surface)
CROSS JOIN LATERAL (
    SELECT surface, contract_id, motion FROM contracts n
    WHERE n.log_id = %(log_id)s AND n.surface = here.surface
    ORDER BY n.opened DESC LIMIT %(newest)s
) AS c
LEFT JOIN chain_events e ON e.chain_id = %(chain_id)s AND e.escrow = %(escrow)s
    AND e.contract = %(escrow)s AND e.is_final
    AND e.topics[1] = ANY (%(topics)s::bytea[]) AND e.topics[2] = c.contract_id
WHERE c.motion <> '' GROUP BY c.surface;

-- name: disputes_of
-- Of the newest contracts of operators, how many a party has disputed on chain, and where.
SELECT c.operator AS party, count(DISTINCT c.contract_id) AS contracts,
    count(DISTINCT e.topics[2]) AS disputed,
    (array_agg(DISTINCT e.tx_hash::bytea) FILTER (WHERE e.tx_hash IS NOT NULL))[1:%(most)s::integer]
        AS transactions
FROM unnest(%(parties)s::bytea[]) AS here (operator)
CROSS JOIN LATERAL (
    SELECT operator, contract_id, motion FROM contracts n
    WHERE n.log_id = %(log_id)s AND n.operator = here.operator
    ORDER BY n.opened DESC LIMIT %(newest)s
) AS c
LEFT JOIN chain_events e ON e.chain_id = %(chain_id)s AND e.escrow = %(escrow)s
    AND e.contract = %(escrow)s AND e.is_final
    AND e.topics[1] = ANY (%(topics)s::bytea[]) AND e.topics[2] = c.contract_id
WHERE c.motion <> '' GROUP BY c.operator;

-- name: lead_page
-- A surface's leads by state and pseudonym, with the caller's own touches; only owners see names.
WITH page AS MATERIALIZED (
    SELECT lead, state, since_ms, coalesce(
        (document #>> ARRAY['touches', encode(%(caller)s, 'hex'), '0'])::bigint, 0) AS own_touches
    FROM leads
    WHERE log_id = %(log_id)s AND surface = %(surface)s
        AND (%(state)s::text IS NULL OR state = %(state)s::text)
        AND (%(states)s::text[] IS NULL OR state = ANY (%(states)s::text[]))
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

-- name: kinds_in_runs
-- Those of these kinds that stand in runs of positions [first, first + count).
SELECT DISTINCT run.first, substring(e.entry FROM 1 FOR 32) AS kind
FROM unnest(%(firsts)s::bigint[], %(counts)s::bigint[]) AS run (first, count)
JOIN entries e ON e.log_id = %(log_id)s
    AND e.position >= run.first AND e.position < run.first + run.count
WHERE substring(e.entry FROM 1 FOR 32) = ANY (%(kinds)s::bytea[]);

-- name: product_events
-- Those of these requests that are product events, and whether they came with a code.
SELECT DISTINCT request_id, kind = 'arrival' AS has_ref FROM requests
WHERE log_id = %(log_id)s AND request_id = ANY (%(request_ids)s)
    AND kind IN ('product_event', 'arrival');

-- Codes -------------------------------------------------------------------------------------------

-- name: code_of_request
-- The code that the caller was given by a request, if it was.
SELECT code, name FROM code_names WHERE log_id = %(log_id)s AND request_id = %(request_id)s;

-- name: add_code_name
-- Keep a code as its operator hands it out.
INSERT INTO code_names (log_id, code, surface, account, name, request_id)
VALUES (%(log_id)s, %(code)s, %(surface)s, %(account)s, %(name)s, %(request_id)s);

-- name: code_page
-- The codes of a surface after a position: an operator's own, or all for the surface's owner.
SELECT c.*, n.name, s.owner AS surface_owner
FROM codes c JOIN surfaces s ON s.log_id = c.log_id AND s.surface = c.surface
LEFT JOIN code_names n ON n.log_id = c.log_id AND n.code = c.code
WHERE c.log_id = %(log_id)s AND c.surface = %(surface)s AND c.position > %(after)s
    AND (%(operator)s::bytea IS NULL OR c.operator = %(operator)s::bytea)
    AND %(caller)s::bytea IN (c.operator, s.owner)
ORDER BY c.position LIMIT %(limit)s;

-- name: code_of
-- A code of a surface, for its operator and the surface's owner.
SELECT c.code, c.operator FROM codes c
JOIN surfaces s ON s.log_id = c.log_id AND s.surface = c.surface
WHERE c.log_id = %(log_id)s AND c.surface = %(surface)s AND c.code = %(code)s
    AND %(caller)s::bytea IN (c.operator, s.owner);

-- name: click_page
-- The clicks on a code after a position.
SELECT position, lead, time_ms, is_new_lead FROM clicks
WHERE log_id = %(log_id)s AND code = %(code)s AND position > %(after)s
ORDER BY position LIMIT %(limit)s;

-- name: request_kind
-- The kind of a request.
SELECT kind FROM requests
WHERE log_id = %(log_id)s AND request_id = %(request_id)s LIMIT 1;

-- Contracts ---------------------------------------------------------------------------------------

-- name: add_proposal
-- Keep a proposal; the same terms are the same proposal.
INSERT INTO proposals
    (log_id, contract_id, surface, operator, owner, terms, operator_signature, created_ms, answers,
    offer)
VALUES (%(log_id)s, %(contract_id)s, %(surface)s, %(operator)s, %(owner)s, %(terms)s::jsonb,
    %(operator_signature)s, %(now_ms)s, %(answers)s, %(offer)s)
ON CONFLICT (log_id, contract_id) DO NOTHING;

-- name: open_proposals
-- The number of an operator's proposals that owners can still accept, but for the one that is answered; and
-- that of the last day's which this owner can still accept, or was left with: its list shows them all the same. The
-- versions of a deal, of which there are ten at most, count once.
WITH undecided AS (
    SELECT contract_id, owner, created_ms,
        withdrawn_ms IS NULL AND (terms ->> 'opens_at_s')::bigint > %(now_s)s AS is_open
    FROM proposals
    WHERE log_id = %(log_id)s AND operator = %(operator)s
        AND accepted_ms IS NULL AND declined_ms IS NULL
        AND contract_id IS DISTINCT FROM %(answered)s::bytea
), all_open AS (
    SELECT FROM undecided WHERE is_open LIMIT %(limit)s
), left_with AS (
    SELECT FROM undecided
    WHERE owner = %(owner)s AND (is_open OR created_ms > (%(now_s)s::bigint - 86400) * 1000)
        AND NOT EXISTS (
            SELECT FROM proposals AS next
            WHERE next.log_id = %(log_id)s AND next.answers = undecided.contract_id)
    LIMIT %(limit)s
)
SELECT (SELECT count(*) FROM all_open) AS of_all, (SELECT count(*) FROM left_with) AS to_owner;

-- name: proposal
-- One proposal, for its parties.
SELECT p.*, c.contract_id IS NOT NULL AS is_opened, s.policy_hash,
    o.tries, o.waits_for, o.reason AS opening_reason, o.next_ms
FROM proposals p JOIN surfaces s USING (log_id, surface)
LEFT JOIN contracts c USING (log_id, contract_id)
LEFT JOIN openings o USING (log_id, contract_id)
WHERE p.log_id = %(log_id)s AND p.contract_id = %(contract_id)s
    AND %(account)s IN (p.owner, p.operator);

-- name: next_version
-- The proposal that answers another, if there is one.
SELECT contract_id, terms FROM proposals
WHERE log_id = %(log_id)s AND answers = %(contract_id)s;

-- name: add_counter
-- Keep the terms by which an owner answers a proposal.
INSERT INTO counters (log_id, contract_id, terms, created_ms)
VALUES (%(log_id)s, %(contract_id)s, %(terms)s::jsonb, %(now_ms)s);

-- name: counter
-- The terms by which an owner has answered a proposal, if it has.
SELECT terms, created_ms FROM counters
WHERE log_id = %(log_id)s AND contract_id = %(contract_id)s;

-- name: add_offer
-- Publish a standing offer.
INSERT INTO offers (log_id, offer, surface, owner, terms, lasts_s, first_budget_units, budget_units,
    places, level, ends_ms, created_ms)
VALUES (%(log_id)s, %(offer)s, %(surface)s, %(owner)s, %(terms)s::jsonb, %(lasts_s)s,
    %(first_budget_units)s, %(budget_units)s, %(places)s, %(level)s,
    clock_ms() + %(ends_in_ms)s, clock_ms());

-- name: offer
-- One standing offer, with what of it is taken.
SELECT o.*, u.others, u.waiting, u.unused, u.budget_units AS next_budget_units
FROM offers o, offer_use(o.log_id, o.offer, %(operator)s) u
WHERE o.log_id = %(log_id)s AND o.surface = %(surface)s AND o.offer = %(offer)s;

-- name: offer_page
-- The standing offers of a surface, oldest first, with what of each is taken.
SELECT o.*, u.others
FROM (
    SELECT * FROM offers
    WHERE log_id = %(log_id)s AND surface = %(surface)s
        AND (created_ms, offer) > (%(after_ms)s, %(after)s::bytea)
    ORDER BY created_ms, offer LIMIT %(limit)s
) o, offer_use(o.log_id, o.offer, '') u
ORDER BY o.created_ms, o.offer;

-- name: offers_beside
-- The open offers of a surface for the same outcome; and whether the owner has room for one more.
SELECT (SELECT count(*) FROM (SELECT FROM offers
        WHERE log_id = %(log_id)s AND owner = %(owner)s LIMIT %(most)s) AS had) < %(most)s AS has_room,
    EXISTS (SELECT FROM offers
        WHERE log_id = %(log_id)s AND surface = %(surface)s AND withdrawn_ms IS NULL
            AND ends_ms > clock_ms() AND terms ->> 'outcome' = %(outcome)s
            AND (%(exclusive)s OR (terms ->> 'exclusive')::boolean)) AS is_contested;

-- name: withdraw_offer
-- Take a standing offer back; contracts from it stay.
UPDATE offers SET withdrawn_ms = clock_ms()
WHERE log_id = %(log_id)s AND offer = %(offer)s AND withdrawn_ms IS NULL;

-- name: promised_units
-- The contracts of an owner in a token that it has accepted and that may still be opened, but for
-- this one: their number, and the sum of their budgets.
SELECT count(*) AS count, coalesce(sum((p.terms ->> 'budget_units')::numeric), 0) AS units
FROM proposals p JOIN surfaces s USING (log_id, surface)
WHERE p.log_id = %(log_id)s AND p.owner = %(owner)s AND p.accepted_ms IS NOT NULL
    AND p.contract_id <> %(contract_id)s AND p.terms ->> 'token' = %(token)s
    AND (p.terms ->> 'opens_at_s')::bigint * 1000 > %(now_ms)s
    AND p.terms ->> 'policy' = '0x' || encode(s.policy_hash, 'hex')
    AND NOT EXISTS (
        SELECT FROM contracts c WHERE c.log_id = p.log_id AND c.contract_id = p.contract_id
    );

-- name: proposal_page
-- An account's proposals as owner and as operator, oldest first; the surface may be left open.
SELECT p.*, c.contract_id IS NOT NULL AS is_opened, s.policy_hash,
    o.tries, o.waits_for, o.reason AS opening_reason, o.next_ms
FROM proposals p JOIN surfaces s USING (log_id, surface)
LEFT JOIN contracts c USING (log_id, contract_id)
LEFT JOIN openings o USING (log_id, contract_id)
WHERE p.log_id = %(log_id)s
    AND (p.operator = %(operator)s::text OR p.owner = %(owner)s::text)
    AND (%(surface)s::bytea IS NULL OR p.surface = %(surface)s::bytea)
    AND ((SELECT current_surfaces()) IS NULL
        OR p.surface = ANY ((SELECT current_surfaces())::bytea[]))
    AND (p.created_ms, p.contract_id) > (%(after_ms)s, %(after)s::bytea)
ORDER BY p.created_ms, p.contract_id LIMIT %(limit)s;

-- name: accept_proposal
-- Sign a proposal as its owner, unless it is decided already.
UPDATE proposals SET owner_signature = %(owner_signature)s, accepted_ms = %(now_ms)s
WHERE log_id = %(log_id)s AND contract_id = %(contract_id)s AND owner = %(account)s
    AND num_nonnulls(accepted_ms, declined_ms, withdrawn_ms) = 0;

-- name: decline_proposal
-- Turn a proposal down as its owner, unless it is decided already.
UPDATE proposals SET declined_ms = %(now_ms)s
WHERE log_id = %(log_id)s AND contract_id = %(contract_id)s AND owner = %(account)s
    AND num_nonnulls(accepted_ms, declined_ms, withdrawn_ms) = 0;

-- name: withdraw_proposal
-- Take a proposal back as its operator, unless it is decided already.
UPDATE proposals SET withdrawn_ms = %(now_ms)s
WHERE log_id = %(log_id)s AND contract_id = %(contract_id)s AND operator = %(account)s
    AND num_nonnulls(accepted_ms, declined_ms, withdrawn_ms) = 0;

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

-- name: anchors
-- The final anchors of a log beyond a size, in order, with their places on chain.
SELECT size, root, tx_hash, block_number, time_s FROM (
    SELECT ('x' || encode(substring(data FROM 25 FOR 8), 'hex'))::bit(64)::bigint AS size,
        substring(data FROM 33 FOR 32) AS root, tx_hash, block_number, time_s
    FROM chain_events
    WHERE chain_id = %(chain_id)s AND escrow = %(escrow)s AND contract = %(event_log)s AND is_final
        AND topics[1] = %(topic)s AND topics[2] = %(log_id)s AND octet_length(data) = 64
) AS published WHERE size > %(after)s ORDER BY size LIMIT %(limit)s;

-- Operators' profiles and memories -----------------------------------------------------------------

-- name: own_profile
-- The caller's own profile.
SELECT display_name, contact, capabilities, agent_id, agent_checked_ms, updated_ms, is_public
FROM operator_profiles WHERE account = (SELECT current_account());

-- name: public_profile
-- The part of an operator's profile that an owner of a surface may read.
SELECT display_name, contact, capabilities, agent_id, agent_checked_ms, updated_ms, is_public
FROM public_profile(%(log_id)s, %(account)s);

-- name: carded_profile
-- The part of an operator's profile that all the world may read; none unless it is public.
SELECT display_name, capabilities, agent_id FROM carded_profile(%(account)s);

-- name: put_profile
-- Set the caller's profile; the agent's id was checked just now, if there is one.
INSERT INTO operator_profiles
    (account, display_name, contact, capabilities, agent_id, agent_checked_ms, updated_ms, is_public)
VALUES (current_account(), %(display_name)s, %(contact)s, %(capabilities)s::text[],
    %(agent_id)s::numeric, CASE WHEN %(agent_id)s::numeric IS NOT NULL THEN clock_ms() END,
    clock_ms(), %(is_public)s)
ON CONFLICT (account) DO UPDATE SET
    display_name = excluded.display_name, contact = excluded.contact,
    capabilities = excluded.capabilities, agent_id = excluded.agent_id,
    agent_checked_ms = excluded.agent_checked_ms, updated_ms = excluded.updated_ms,
    is_public = excluded.is_public;

-- name: erase_profile
-- Forget the caller's profile.
DELETE FROM operator_profiles WHERE account = (SELECT current_account());

-- name: lock_memory
-- Let no other transaction count what this account remembers, until this one ends.
SELECT pg_advisory_xact_lock(hashtextextended(%(account)s, 13));

-- name: memory_size
-- The entries and bytes of the caller's memory besides this entry, on this surface and on all.
SELECT count(*) FILTER (WHERE surface = %(surface)s) AS entries,
    coalesce(sum(bytes) FILTER (WHERE surface = %(surface)s), 0) AS bytes,
    coalesce(sum(bytes), 0) AS all_bytes
FROM operator_memory
WHERE log_id = %(log_id)s AND account = (SELECT current_account())
    AND (surface, key) <> (%(surface)s::bytea, %(key)s);

-- name: remember
-- Put an entry of the caller's memory.
INSERT INTO operator_memory AS m (log_id, account, surface, key, value, bytes, lead, updated_ms)
VALUES (%(log_id)s, current_account(), %(surface)s, %(key)s, %(value)s::json, %(bytes)s, %(lead)s,
    clock_ms())
ON CONFLICT (log_id, account, surface, key) DO UPDATE SET
    value = excluded.value, bytes = excluded.bytes, lead = excluded.lead,
    updated_ms = excluded.updated_ms;

-- name: memory
-- One entry of the caller's memory.
SELECT key, value, lead, updated_ms FROM operator_memory
WHERE log_id = %(log_id)s AND account = (SELECT current_account()) AND surface = %(surface)s
    AND key = %(key)s;

-- name: memory_page
-- The entries of the caller's memory on a surface, by key, all of them or those of a lead.
SELECT key, value, lead, updated_ms FROM operator_memory
WHERE log_id = %(log_id)s AND account = (SELECT current_account()) AND surface = %(surface)s
    AND key > %(after)s AND (%(lead)s::bytea IS NULL OR lead = %(lead)s::bytea)
ORDER BY key LIMIT %(limit)s;

-- name: forget
-- Forget one entry of the caller's memory.
DELETE FROM operator_memory
WHERE log_id = %(log_id)s AND account = (SELECT current_account()) AND surface = %(surface)s
    AND key = %(key)s;

-- name: forget_all
-- Forget all of the caller's memory on a surface.
DELETE FROM operator_memory
WHERE log_id = %(log_id)s AND account = (SELECT current_account()) AND surface = %(surface)s;

-- name: trust_of
-- The highest level of an operator on these surfaces, or on any, where it is not suspended; and the
-- acts that its level allows on one of them at least.
SELECT coalesce(max(t.level), 0)::int AS level,
    array_remove(ARRAY[
        CASE WHEN bool_or(t.level >= least.touch) THEN 'touch' END,
        CASE WHEN bool_or(t.level >= least.request) THEN 'request' END,
        CASE WHEN bool_or(t.level >= (d.document->'codes'->>'level')::int) THEN 'issue' END
    ], NULL) AS acts
FROM (
    SELECT surface, level FROM standings
    WHERE log_id = %(log_id)s AND operator = %(operator)s AND NOT is_suspended AND level > 0
        AND (%(surfaces)s::bytea[] IS NULL OR surface = ANY (%(surfaces)s::bytea[]))
    ORDER BY level DESC LIMIT 100
) AS t
JOIN surfaces AS s ON s.log_id = %(log_id)s AND s.surface = t.surface
LEFT JOIN settings AS d ON d.log_id = s.log_id AND d.hash = s.settings_hash
LEFT JOIN LATERAL (
    SELECT min((value->>'level')::int) FILTER (WHERE value->>'by' IS DISTINCT FROM 'surface') AS touch,
        min((value->>'level')::int) FILTER (WHERE value->>'by' = 'surface') AS request
    FROM jsonb_each(d.document->'actions')
) AS least ON true;

-- name: drop_confirmations
-- Drop a key's confirmations that have expired, and its oldest beyond some.
DELETE FROM confirmations
WHERE key = current_key() AND (
    expires_ms <= clock_ms() OR token_hash NOT IN (
        SELECT token_hash FROM confirmations WHERE key = current_key()
        ORDER BY expires_ms DESC LIMIT %(keep)s
    )
);

-- name: add_confirmation
-- Ask the key's holder to confirm a call.
INSERT INTO confirmations (token_hash, key, digest, expires_ms)
VALUES (%(token_hash)s, current_key(), %(digest)s, %(expires_ms)s);

-- name: take_confirmation
-- Use up the confirmation of a call.
DELETE FROM confirmations
WHERE token_hash = %(token_hash)s AND key = current_key() AND digest = %(digest)s
    AND expires_ms > clock_ms()
RETURNING expires_ms;

-- name: stripe_key
-- The secret of the key that a report signed by Stripe comes by, or NULL.
SELECT stripe_key(%(log_id)s, %(surface)s, %(signed_s)s, %(report)s, %(signatures)s::bytea[])
    AS secret;

-- name: segment_key
-- The secret of the key that a report signed by Segment comes by, or NULL.
SELECT segment_key(%(log_id)s, %(surface)s, %(report)s, %(signature)s) AS secret;

-- name: source_key
-- The key that a source's reports of the caller's surface come by.
SELECT key FROM source_secrets
WHERE log_id = %(log_id)s AND surface = %(surface)s AND source = %(source)s;

-- name: add_source_secret
-- Keep what a source signs its reports with, and the key that they come by.
INSERT INTO source_secrets
    (log_id, surface, source, account, key, secret, inner_pad, outer_pad)
VALUES (%(log_id)s, %(surface)s, %(source)s, current_account(), %(key)s, %(secret)s,
    %(inner_pad)s, %(outer_pad)s);

-- name: drop_source_secret
-- Forget what a source signs its reports with.
DELETE FROM source_secrets
WHERE log_id = %(log_id)s AND surface = %(surface)s AND source = %(source)s;
