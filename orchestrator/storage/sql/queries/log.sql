-- Queries of the log: its inbox, its one writer, and its readers.

-- name: lock
-- Take the lock of a log's one writer for this connection, if it is free.
SELECT pg_try_advisory_lock(%(key)s) AS taken;

-- name: publisher
-- The publisher of a log; no row if the log was never begun.
SELECT publisher FROM logs WHERE log_id = %(log_id)s;

-- Submitting -------------------------------------------------------------------------------------

-- name: enter_inbox
-- Wait for the locks of these surfaces, which this transaction keeps; the database's clock before, and
-- what room the inbox has for this account.
SELECT now_ms, waiting, own, most, bytes, most_bytes
FROM enter_inbox(%(log_id)s, %(locks)s::bigint[], %(are_owners)s);

-- name: begin_entering
-- Do this at the beginning of a transaction that presents the secret of a key: that, what is known of the
-- key, and if it is live what `enter_inbox` does.
SELECT account, key, name, parent, scopes, surfaces, expires_ms, state,
    now_ms, waiting, own, most, bytes, most_bytes
FROM begin_entering(
    %(secret)s, %(durability)s, %(log_id)s, %(locks)s::bigint[], %(are_owners)s);

-- name: submit
-- Take requests: remember and queue, in their order, those that are new, and those whose last turn
-- was refused by one of these codes. Return of each its turn, and whether it has it by this.
SELECT request_id, turn, is_fresh
FROM take_requests(%(log_id)s, %(offered)s::json, %(retryable)s::text[]);

-- name: submit_one
-- The same of one request, of the account of the key that the transaction presents.
SELECT request_id, turn, is_fresh
FROM take_request(%(log_id)s, %(offered)s::json, %(retryable)s::text[]);

-- name: submitted_before
-- The body's hash and the salt of requests at these turns.
SELECT r.request_id, r.body_hash, p.salt
FROM unnest(%(request_ids)s::uuid[], %(turns)s::integer[]) AS asked (request_id, turn)
JOIN requests r ON r.log_id = %(log_id)s AND r.request_id = asked.request_id
    AND r.turn = asked.turn
LEFT JOIN private_payloads p ON p.log_id = r.log_id AND p.commitment = r.body_hash;

-- name: results
-- The status and the result of these requests, at their last turn.
SELECT DISTINCT ON (r.request_id) r.request_id,
    CASE WHEN s.seq IS NULL THEN 'waiting' WHEN s.code IS NULL THEN 'done' ELSE 'refused' END
        AS status,
    s.first_position, s.count, s.code, s.message
FROM requests r LEFT JOIN results s USING (log_id, seq)
WHERE r.log_id = %(log_id)s AND r.request_id = ANY (%(request_ids)s)
ORDER BY r.request_id, r.turn DESC;

-- name: own_pseudonyms
-- A surface's owner, and the pseudonyms of identities there, made from the fresh ones for those without.
SELECT s.owner, p.external_id, p.lead
FROM surfaces s
LEFT JOIN assign_pseudonyms(
    %(log_id)s, %(surface)s, %(external_ids)s::text[], %(fresh)s::bytea[]) AS p ON true
WHERE s.log_id = %(log_id)s AND s.surface = %(surface)s;

-- name: assign_pseudonyms
-- The pseudonyms of identities on a surface, made from the fresh ones for identities without.
SELECT external_id, lead
FROM assign_pseudonyms(
    %(log_id)s, %(surface)s, %(external_ids)s::text[], %(fresh)s::bytea[]);

-- name: identity
-- The pseudonym of an identity on a surface, for the surface's owner.
SELECT lead FROM lead_identities
WHERE log_id = %(log_id)s AND surface = %(surface)s AND external_id = %(external_id)s;

-- name: identities
-- The pseudonyms of those of these identities that a surface has, for the surface's owner.
SELECT external_id, lead FROM lead_identities
WHERE log_id = %(log_id)s AND surface = %(surface)s AND external_id = ANY (%(external_ids)s::text[]);

-- name: name_orders
-- Give orders of a surface's leads the fresh words offered, unless they have words already.
INSERT INTO order_identities (log_id, surface, lead, external_id, order_word)
SELECT %(log_id)s, %(surface)s, lead, external_id, order_word
FROM unnest(%(leads)s::bytea[], %(external_ids)s::text[], %(fresh)s::bytea[])
    AS offered (lead, external_id, order_word)
ON CONFLICT (log_id, surface, lead, external_id) DO NOTHING;

-- name: order_words
-- The words of orders of a surface's leads.
SELECT lead, external_id, order_word
FROM order_identities
JOIN unnest(%(leads)s::bytea[], %(external_ids)s::text[]) AS named (lead, external_id)
    USING (lead, external_id)
WHERE log_id = %(log_id)s AND surface = %(surface)s;

-- name: codes_named
-- The codes of a surface by what operators hand out, and the leads that wait by them.
SELECT name, code, waiting_lead
FROM codes_named(%(log_id)s, %(surface)s, %(names)s::text[]);

-- name: let_wait
-- Say which lead waits by each of these codes from now on.
SELECT let_wait(%(log_id)s, %(surface)s, %(codes)s::bytea[], %(leads)s::bytea[]);

-- name: forget_waiting
-- The lead that waited by a code, and does so no more.
SELECT forget_waiting(%(log_id)s, %(surface)s, %(name)s) AS lead;

-- name: erase_orders
-- Forget a lead's own ids of its orders.
DELETE FROM order_identities
WHERE log_id = %(log_id)s AND surface = %(surface)s AND lead = %(lead)s;

-- name: erase_identities
-- Forget a lead's identities.
DELETE FROM lead_identities
WHERE log_id = %(log_id)s AND surface = %(surface)s AND lead = %(lead)s;

-- name: erase_results
-- Forget what was told of a lead to those that requested actions.
DELETE FROM action_results
WHERE log_id = %(log_id)s AND surface = %(surface)s AND lead = %(lead)s;

-- name: erase_payloads
-- Forget the private payloads about a lead, salts included.
DELETE FROM private_payloads
WHERE log_id = %(log_id)s AND surface = %(surface)s AND lead = %(lead)s;

-- Sequencing -------------------------------------------------------------------------------------

-- name: waiting_requests
-- The requests whose turn it is, but those that were decided, in the order in which they are to be
-- decided, up to a number of documents: each is as large as thousands of other requests.
SELECT seq, rank, account, sender, kind, received_ms, body::text, trace FROM (
    SELECT seq, rank, account, sender, kind, received_ms, body, trace,
        count(*) FILTER (WHERE kind IN ('publish_policy', 'publish_settings'))
            OVER (ORDER BY rank, seq) AS documents
    FROM (SELECT seq, rank, account, sender, kind, received_ms, body, trace FROM inbox
        WHERE log_id = %(log_id)s AND seq <> ALL (%(but)s::bigint[])
        ORDER BY rank, seq LIMIT %(limit)s) AS next
) AS counted
WHERE documents <= %(documents)s ORDER BY rank, seq;

-- name: inbox_after
-- The requests that wait, after one of them; the bodies of the worker's alone, for others may write
-- JSON that Python does not read.
SELECT seq, sender, kind, CASE sender WHEN 'tallystick_worker' THEN body END AS body FROM inbox
WHERE log_id = %(log_id)s AND seq > %(seq)s ORDER BY seq LIMIT %(limit)s;

-- name: requests_again
-- Those of these requests that wait, in the order in which they are decided.
SELECT seq, rank, account, sender, kind, received_ms, body::text, trace FROM inbox
WHERE log_id = %(log_id)s AND seq = ANY (%(seqs)s::bigint[]) ORDER BY rank, seq;

-- name: follow_statements
-- Keep with statements of these contracts, each named once, the traces that they go on with: these, in the
-- order in which their requests counted, after those that had counted before.
INSERT INTO contract_traces AS t (log_id, contract_id, statement, stated)
SELECT %(log_id)s, s.contract, s.position, coalesce(c.newest_first, '{}')
FROM unnest(%(contracts)s::bytea[], %(positions)s::bigint[]) AS s (contract, position)
LEFT JOIN (
    SELECT u.contract, array_agg(u.trace::trace ORDER BY u.number DESC) AS newest_first
    FROM unnest(%(counted)s::bytea[], %(traces)s::text[]) WITH ORDINALITY AS u (contract, trace, number)
    GROUP BY u.contract
) AS c ON c.contract = s.contract
ON CONFLICT (log_id, contract_id) DO UPDATE SET
    statement = excluded.statement, stated = (excluded.stated || t.traces)[1:32], traces = '{}';

-- name: follow_contracts
-- Keep with contracts these traces, in the order in which their requests counted.
INSERT INTO contract_traces AS t (log_id, contract_id, traces)
SELECT %(log_id)s, u.contract, array_agg(u.trace::trace ORDER BY u.number DESC)
FROM unnest(%(counted)s::bytea[], %(traces)s::text[]) WITH ORDINALITY AS u (contract, trace, number)
GROUP BY u.contract
ON CONFLICT (log_id, contract_id) DO UPDATE SET traces = (excluded.traces || t.traces)[1:32];

-- name: append_entries
-- Append entries.
COPY entries (log_id, position, entry, opening, listed_kind) FROM STDIN (FORMAT binary);

-- name: append_subtrees
-- Append the subtrees that the new entries completed.
COPY subtrees (log_id, level, position, hash) FROM STDIN (FORMAT binary);

-- name: finish
-- Remove decided requests from the inbox, record their results, count them, and say which rank is
-- served now.
WITH taken AS (
    DELETE FROM inbox WHERE log_id = %(log_id)s AND seq = ANY (%(seqs)s::bigint[])
    RETURNING seq, account
), counted AS (
    INSERT INTO account_decisions AS d (log_id, account, requests)
    SELECT %(log_id)s, account, count(*) FROM taken GROUP BY account
    ON CONFLICT (log_id, account) DO UPDATE SET requests = d.requests + excluded.requests
), served AS (
    INSERT INTO log_decisions AS d (log_id, requests, rank)
    SELECT %(log_id)s, count(*), %(rank)s FROM taken
    ON CONFLICT (log_id) DO UPDATE
    SET requests = d.requests + excluded.requests, rank = greatest(d.rank, excluded.rank)
)
INSERT INTO results (log_id, seq, account, first_position, count, code, message)
SELECT %(log_id)s, seq, account, first_position, count, code, message
FROM unnest(
    %(seqs)s::bigint[], %(first_positions)s::bigint[], %(counts)s::integer[],
    %(codes)s::text[], %(messages)s::text[]
) AS decided (seq, first_position, count, code, message)
JOIN taken USING (seq);

-- name: append_checkpoint
-- Follow the last checkpoint with a new one, unless another writer did so first.
INSERT INTO checkpoints
    (log_id, size, previous_size, root, time_ms, nodes, signature)
SELECT %(log_id)s::bytea, %(size)s, %(previous_size)s::bigint, %(root)s, %(time_ms)s,
    %(nodes)s::bytea[], %(signature)s
WHERE %(previous_size)s::bigint =
    (SELECT coalesce(max(size), 0) FROM checkpoints WHERE log_id = %(log_id)s::bytea);

-- name: announce
-- Tell those who follow the log of its new checkpoint, once this transaction has committed.
SELECT pg_notify('tallystick_checkpoints', '');

-- name: prepare_leads
-- Create this connection's own table of changed leads; each commit empties it.
CREATE TEMPORARY TABLE changed_leads (
    lead bytea, surface bytea, state text, since_ms bigint, touches bigint, document text
) ON COMMIT DELETE ROWS;

-- name: forget_changed_leads
-- Empty this connection's own table of changed leads before the transaction ends.
DELETE FROM changed_leads;

-- name: copy_leads
-- Copy leads into the table of changed leads.
COPY changed_leads FROM STDIN (FORMAT binary);

-- name: put_leads
-- Bring leads up to date from the table of changed leads.
INSERT INTO leads (log_id, lead, surface, state, since_ms, touches, document)
SELECT %(log_id)s, lead, surface, state, since_ms, touches, document::jsonb FROM changed_leads
ON CONFLICT (log_id, lead) DO UPDATE SET
    state = excluded.state, since_ms = excluded.since_ms, touches = excluded.touches,
    document = excluded.document;

-- name: put_contract
-- Bring a contract up to date.
INSERT INTO contracts (
    log_id, contract_id, surface, owner, operator, opened, closed_at_ms, earned_units,
    reversed_units, over_units, outcomes, reversals, last_outcome, last_reversal, last_settlement,
    rules, motion, stated_units, unstated_ms, unpaid_ms)
VALUES (
    %(log_id)s, %(contract_id)s, %(surface)s, %(owner)s, %(operator)s, %(opened)s,
    %(closed_at_ms)s, %(earned_units)s, %(reversed_units)s, %(over_units)s, %(outcomes)s,
    %(reversals)s, %(last_outcome)s, %(last_reversal)s, %(last_settlement)s, %(rules)s::jsonb,
    %(motion)s, %(stated_units)s, %(unstated_ms)s, %(unpaid_ms)s)
ON CONFLICT (log_id, contract_id) DO UPDATE SET
    closed_at_ms = excluded.closed_at_ms, earned_units = excluded.earned_units,
    reversed_units = excluded.reversed_units, over_units = excluded.over_units,
    outcomes = excluded.outcomes, reversals = excluded.reversals,
    last_outcome = excluded.last_outcome, last_reversal = excluded.last_reversal,
    last_settlement = excluded.last_settlement, stated_units = excluded.stated_units,
    unstated_ms = excluded.unstated_ms, unpaid_ms = excluded.unpaid_ms;

-- name: add_tallies
-- Add what was counted to the tallies.
INSERT INTO tallies (
    log_id, surface, operator, what, motion, token, size, count, units, positions)
SELECT %(log_id)s, decode(surface, 'hex'), decode(operator, 'hex'), what, motion,
    decode(token, 'hex'), size, count, units, positions
FROM jsonb_to_recordset(%(rows)s::jsonb) AS counted (
    surface text, operator text, what text, motion text, token text, size smallint, count bigint,
    units numeric, positions bigint[])
ON CONFLICT (log_id, surface, operator, what, motion, token, size) DO UPDATE SET
    count = tallies.count + excluded.count, units = tallies.units + excluded.units,
    positions = (excluded.positions || tallies.positions)[1:%(most)s::integer];

-- name: put_policy
-- Keep a policy's document under its hash.
INSERT INTO policies (log_id, hash, document) VALUES (%(log_id)s, %(hash)s, %(document)s::jsonb)
ON CONFLICT (log_id, hash) DO NOTHING;

-- name: put_settings
-- Keep a surface's settings under their hash.
INSERT INTO settings (log_id, hash, document) VALUES (%(log_id)s, %(hash)s, %(document)s::jsonb)
ON CONFLICT (log_id, hash) DO NOTHING;

-- name: put_surface
-- Bring a surface up to date.
INSERT INTO surfaces (
    log_id, surface, owner, policy_hash, version, received_ms, settings_hash, settings_version,
    pool, cohorts, errands)
VALUES (
    %(log_id)s, %(surface)s, %(owner)s, %(policy_hash)s, %(version)s, %(received_ms)s,
    %(settings_hash)s, %(settings_version)s, %(pool)s::jsonb, %(cohorts)s::jsonb,
    %(errands)s)
ON CONFLICT (log_id, surface) DO UPDATE SET
    owner = excluded.owner, policy_hash = excluded.policy_hash, version = excluded.version,
    received_ms = excluded.received_ms, settings_hash = excluded.settings_hash,
    settings_version = excluded.settings_version, pool = excluded.pool,
    cohorts = excluded.cohorts, errands = excluded.errands;

-- name: put_standings
-- Bring standings up to date.
INSERT INTO standings (
    log_id, surface, operator, level, ground, is_suspended, sealed, scored_from_ms, document)
SELECT %(log_id)s, decode(surface, 'hex'), decode(operator, 'hex'), level, ground, is_suspended,
    decode(sealed, 'hex'), scored_from_ms, document
FROM jsonb_to_recordset(%(rows)s::jsonb) AS moved (
    surface text, operator text, level smallint, ground text, is_suspended boolean,
    sealed text, scored_from_ms bigint, document jsonb)
ON CONFLICT (log_id, surface, operator) DO UPDATE SET
    level = excluded.level, ground = excluded.ground, is_suspended = excluded.is_suspended,
    sealed = excluded.sealed, scored_from_ms = excluded.scored_from_ms,
    document = excluded.document;

-- name: put_codes
-- Bring codes up to date.
INSERT INTO codes (
    log_id, code, surface, operator, position, since_ms, until_ms, most_uses, is_ended, uses,
    brought, repeats, minute, in_minute, peak)
SELECT %(log_id)s, decode(code, 'hex'), decode(surface, 'hex'), decode(operator, 'hex'), position,
    since_ms, until_ms, most_uses, is_ended, uses, brought, repeats, minute, in_minute, peak
FROM jsonb_to_recordset(%(rows)s::jsonb) AS used (
    code text, surface text, operator text, position bigint, since_ms bigint, until_ms bigint,
    most_uses bigint, is_ended boolean, uses bigint, brought bigint, repeats bigint, minute bigint,
    in_minute bigint, peak bigint)
ON CONFLICT (log_id, code) DO UPDATE SET
    is_ended = excluded.is_ended, uses = excluded.uses, brought = excluded.brought,
    repeats = excluded.repeats, minute = excluded.minute, in_minute = excluded.in_minute,
    peak = excluded.peak;

-- name: append_clicks
-- Append clicks.
COPY clicks (log_id, code, position, lead, time_ms, is_new_lead) FROM STDIN (FORMAT binary);

-- name: put_operator
-- Bring an operator up to date.
INSERT INTO operators (log_id, operator, registered)
VALUES (%(log_id)s, %(operator)s, %(registered)s);

-- Reading the log --------------------------------------------------------------------------------

-- name: last_checkpoint
-- The newest checkpoint.
SELECT size, root, time_ms, signature, nodes FROM checkpoints
WHERE log_id = %(log_id)s ORDER BY size DESC LIMIT 1;

-- name: checkpoint
-- The checkpoint of exactly this size.
SELECT size, root, time_ms, signature, nodes FROM checkpoints
WHERE log_id = %(log_id)s AND size = %(size)s;

-- name: checkpoints_after
-- The checkpoints beyond a size, smallest first.
SELECT size, previous_size, root, time_ms, signature, nodes FROM checkpoints
WHERE log_id = %(log_id)s AND size > %(size)s ORDER BY size LIMIT %(limit)s;

-- name: entries
-- The entries from a position on.
SELECT position, entry, opening FROM entries
WHERE log_id = %(log_id)s AND position >= %(start)s ORDER BY position LIMIT %(limit)s;

-- name: leaves
-- The entries of [start, stop), bytes only.
SELECT position, entry AS hash FROM entries
WHERE log_id = %(log_id)s AND position >= %(start)s AND position < %(stop)s ORDER BY position;

-- name: subtrees
-- The subtrees [start, stop) of a level.
SELECT position, hash FROM subtrees
WHERE log_id = %(log_id)s AND level = %(level)s
    AND position >= %(start)s AND position < %(stop)s
ORDER BY position;

-- name: count_subtrees
-- The number of subtrees on each level.
SELECT level, count(*) AS subtrees FROM subtrees WHERE log_id = %(log_id)s GROUP BY level;

-- name: entries_of_kind
-- The entries of a kind that the log lists, after a position.
SELECT position, entry, opening FROM entries
WHERE log_id = %(log_id)s AND listed_kind = %(kind)s AND position > %(after)s
ORDER BY position LIMIT %(limit)s;

-- name: wrongly_listed
-- The first entries that are not listed by their kind, or are and should not be.
SELECT position FROM entries
WHERE log_id = %(log_id)s
    AND listed_kind IS DISTINCT FROM CASE
        WHEN substring(entry FROM 1 FOR 32) = ANY (%(listed_kinds)s::bytea[])
        THEN substring(entry FROM 1 FOR 32) END
ORDER BY position LIMIT %(limit)s;

-- name: entries_about
-- The entries about a subject (a lead, a contract, an operator) after a position.
SELECT position, entry, opening FROM entries
WHERE log_id = %(log_id)s AND substring(entry FROM 97 FOR 32) = %(subject)s
    AND position > %(after)s
ORDER BY position LIMIT %(limit)s;

-- name: entries_about_of_kind
-- The entries of a kind about a subject after a position.
SELECT position, entry, opening FROM entries
WHERE log_id = %(log_id)s AND substring(entry FROM 97 FOR 32) = %(subject)s
    AND substring(entry FROM 1 FOR 32) = %(kind)s AND position > %(after)s
ORDER BY position LIMIT %(limit)s;

-- name: count_about
-- The number of entries of a kind about a subject that have this value and this payload.
SELECT count(*) AS entries FROM entries
WHERE log_id = %(log_id)s AND substring(entry FROM 97 FOR 32) = %(subject)s
    AND substring(entry FROM 1 FOR 32) = %(kind)s
    AND substring(entry FROM 161 FOR 32) = %(value)s
    AND substring(entry FROM 225 FOR 32) = %(payload)s;

-- name: newest_about_of_kind
-- The newest entries of a kind about a subject, the last first.
SELECT position, entry, opening FROM entries
WHERE log_id = %(log_id)s AND substring(entry FROM 97 FOR 32) = %(subject)s
    AND substring(entry FROM 1 FOR 32) = %(kind)s AND position > %(after)s
ORDER BY position DESC LIMIT %(limit)s;

-- name: entries_on_surface
-- The entries of a listed kind on a surface after a position; the subject may be left open.
SELECT position, entry, opening FROM entries
WHERE log_id = %(log_id)s AND substring(entry FROM 33 FOR 32) = %(surface)s
    AND listed_kind = %(kind)s
    AND (%(subject)s::bytea IS NULL OR substring(entry FROM 97 FOR 32) = %(subject)s::bytea)
    AND position > %(after)s
ORDER BY position LIMIT %(limit)s;

-- name: newest_on_surface
-- The newest entries of a listed kind on a surface, the last first; the subject may be left open.
SELECT position, entry, opening FROM entries
WHERE log_id = %(log_id)s AND substring(entry FROM 33 FOR 32) = %(surface)s
    AND listed_kind = %(kind)s
    AND (%(subject)s::bytea IS NULL OR substring(entry FROM 97 FOR 32) = %(subject)s::bytea)
    AND position > %(after)s
ORDER BY position DESC LIMIT %(limit)s;

-- name: outcomes_of
-- A contract's outcomes and reversals, over and refused ones too, after a position.
SELECT position, entry, opening FROM entries
WHERE log_id = %(log_id)s AND substring(entry FROM 65 FOR 32) = %(contract_id)s
    AND substring(entry FROM 1 FOR 7) = '\x6f7574636f6d65' AND position > %(after)s
ORDER BY position LIMIT %(limit)s;

-- Reading projections ----------------------------------------------------------------------------

-- name: policy
-- A policy's document.
SELECT document FROM policies WHERE log_id = %(log_id)s AND hash = %(hash)s;

-- name: policies_after
-- All policies, a page at a time.
SELECT hash, document FROM policies
WHERE log_id = %(log_id)s AND hash > %(after)s ORDER BY hash LIMIT %(limit)s;

-- name: settings
-- A surface's settings by their hash.
SELECT document FROM settings WHERE log_id = %(log_id)s AND hash = %(hash)s;

-- name: settings_after
-- All settings, a page at a time.
SELECT hash, document FROM settings
WHERE log_id = %(log_id)s AND hash > %(after)s ORDER BY hash LIMIT %(limit)s;

-- name: surfaces
-- All surfaces.
SELECT surface, owner, policy_hash, version, received_ms, settings_hash, settings_version, pool,
    cohorts, errands
FROM surfaces WHERE log_id = %(log_id)s;

-- name: surface
-- One surface.
SELECT surface, owner, policy_hash, version, received_ms, settings_hash, settings_version, pool,
    cohorts
FROM surfaces WHERE log_id = %(log_id)s AND surface = %(surface)s;

-- name: operators
-- All operators.
SELECT operator, registered FROM operators WHERE log_id = %(log_id)s;

-- name: standings
-- The standings of some pairs.
SELECT surface, operator, level, ground, is_suspended, document FROM standings
JOIN unnest(%(surfaces)s::bytea[], %(operators)s::bytea[]) AS named (surface, operator)
    USING (surface, operator)
WHERE log_id = %(log_id)s;

-- name: standings_after
-- All standings, a page at a time.
SELECT surface, operator, level, ground, is_suspended, document FROM standings
WHERE log_id = %(log_id)s AND (surface, operator) > (%(surface)s, %(operator)s)
ORDER BY surface, operator LIMIT %(limit)s;

-- name: codes
-- Some codes, by their random ids.
SELECT * FROM codes WHERE log_id = %(log_id)s AND code = ANY (%(codes)s::bytea[]);

-- name: codes_after
-- All codes with the number of their clicks and of the new leads among them, a page at a time.
SELECT c.*, k.clicks, k.new_leads
FROM (SELECT * FROM codes WHERE log_id = %(log_id)s AND code > %(after)s
    ORDER BY code LIMIT %(limit)s) AS c
CROSS JOIN LATERAL (
    SELECT count(*) AS clicks, count(*) FILTER (WHERE is_new_lead) AS new_leads
    FROM clicks WHERE log_id = c.log_id AND code = c.code
) AS k ORDER BY c.code;

-- name: tallies_after
-- All tallies, a page at a time.
SELECT surface, operator, what, motion, token, size, count, units, positions FROM tallies
WHERE log_id = %(log_id)s AND (surface, operator, what, motion, token, size)
    > (%(surface)s, %(operator)s, %(what)s, %(motion)s, %(token)s, %(size)s)
ORDER BY surface, operator, what, motion, token, size LIMIT %(limit)s;

-- name: tallies_of_surfaces
-- The tallies of some surfaces, of all operators together.
SELECT surface, operator, what, motion, token, size, count, units, positions FROM tallies
WHERE log_id = %(log_id)s AND surface = ANY (%(surfaces)s::bytea[]) AND operator = %(all)s;

-- name: tallies_of_operators
-- The tallies of some operators, of all surfaces together.
SELECT surface, operator, what, motion, token, size, count, units, positions FROM tallies
WHERE log_id = %(log_id)s AND operator = ANY (%(operators)s::bytea[]) AND surface = %(all)s;

-- name: tallies_of_operator_on
-- The tallies of an operator on some surfaces.
SELECT surface, operator, what, motion, token, size, count, units, positions FROM tallies
WHERE log_id = %(log_id)s AND operator = %(operator)s AND surface = ANY (%(surfaces)s::bytea[]);

-- name: contracts
-- All contracts, oldest first.
SELECT * FROM contracts WHERE log_id = %(log_id)s ORDER BY opened;

-- name: leads
-- Some leads with everything that the fold needs.
SELECT lead, surface, state, since_ms, touches, document FROM leads
WHERE log_id = %(log_id)s AND lead = ANY (%(leads)s::bytea[]);

-- name: leads_after
-- All leads, a page at a time.
SELECT lead, surface, state, since_ms, touches, document FROM leads
WHERE log_id = %(log_id)s AND lead > %(after)s ORDER BY lead LIMIT %(limit)s;

-- name: contract
-- One contract.
SELECT * FROM contracts WHERE log_id = %(log_id)s AND contract_id = %(contract_id)s;

-- name: operators_of_contracts
-- The operators of these contracts.
SELECT contract_id, operator FROM contracts
WHERE log_id = %(log_id)s AND contract_id = ANY (%(contract_ids)s::bytea[]);

-- name: contracts_after
-- The contracts opened after a position; each of surface, owner and operator may be left open.
SELECT * FROM contracts
WHERE log_id = %(log_id)s AND opened > %(after)s
    AND (%(surface)s::bytea IS NULL OR surface = %(surface)s::bytea)
    AND (%(owner)s::bytea IS NULL OR owner = %(owner)s::bytea)
    AND (%(operator)s::bytea IS NULL OR operator = %(operator)s::bytea)
ORDER BY opened LIMIT %(limit)s;

-- Checking projections ---------------------------------------------------------------------------

-- name: shadow_projections
-- Hide the projections behind empty tables of this transaction's own, to which it then writes.
DO $$
DECLARE
    projection text;
BEGIN
    FOREACH projection IN ARRAY ARRAY[
        'leads', 'surfaces', 'operators', 'contracts', 'policies', 'settings',
        'standings', 'codes', 'clicks', 'actions', 'tallies'
    ]
    LOOP
        EXECUTE format('CREATE TEMPORARY TABLE %%I (LIKE public.%%I INCLUDING ALL) ON COMMIT DROP',
            projection, projection);
    END LOOP;
END $$;

-- name: allow_time
-- Let this transaction take the time that a whole log takes.
SELECT set_config('statement_timeout', '1h', true) AS of_statement,
    set_config('idle_in_transaction_session_timeout', '1h', true) AS of_silence;

-- name: projection_differences
-- The rows of projections that differ from those of this transaction's own tables, whole.
SELECT * FROM (
SELECT 'leads' AS projection, jsonb_build_object('lead', lead) AS name,
    to_jsonb(s) AS stored, to_jsonb(f) AS folded
FROM (SELECT * FROM public.leads WHERE log_id = %(log_id)s) AS s
FULL JOIN pg_temp.leads AS f USING (lead)
WHERE ROW(s.*) IS DISTINCT FROM ROW(f.*)
UNION ALL
SELECT 'surfaces' AS projection, jsonb_build_object('surface', surface) AS name,
    to_jsonb(s) AS stored, to_jsonb(f) AS folded
FROM (SELECT * FROM public.surfaces WHERE log_id = %(log_id)s) AS s
FULL JOIN pg_temp.surfaces AS f USING (surface)
WHERE ROW(s.*) IS DISTINCT FROM ROW(f.*)
UNION ALL
SELECT 'operators' AS projection, jsonb_build_object('operator', operator) AS name,
    to_jsonb(s) AS stored, to_jsonb(f) AS folded
FROM (SELECT * FROM public.operators WHERE log_id = %(log_id)s) AS s
FULL JOIN pg_temp.operators AS f USING (operator)
WHERE ROW(s.*) IS DISTINCT FROM ROW(f.*)
UNION ALL
SELECT 'contracts' AS projection, jsonb_build_object('contract_id', contract_id) AS name,
    to_jsonb(s) AS stored, to_jsonb(f) AS folded
FROM (SELECT * FROM public.contracts WHERE log_id = %(log_id)s) AS s
FULL JOIN pg_temp.contracts AS f USING (contract_id)
WHERE ROW(s.*) IS DISTINCT FROM ROW(f.*)
UNION ALL
SELECT 'policies' AS projection, jsonb_build_object('hash', hash) AS name,
    to_jsonb(s) AS stored, to_jsonb(f) AS folded
FROM (SELECT * FROM public.policies WHERE log_id = %(log_id)s) AS s
FULL JOIN pg_temp.policies AS f USING (hash)
WHERE ROW(s.*) IS DISTINCT FROM ROW(f.*)
UNION ALL
SELECT 'settings' AS projection, jsonb_build_object('hash', hash) AS name,
    to_jsonb(s) AS stored, to_jsonb(f) AS folded
FROM (SELECT * FROM public.settings WHERE log_id = %(log_id)s) AS s
FULL JOIN pg_temp.settings AS f USING (hash)
WHERE ROW(s.*) IS DISTINCT FROM ROW(f.*)
UNION ALL
SELECT 'standings' AS projection, jsonb_build_object('surface', surface, 'operator', operator) AS name,
    to_jsonb(s) AS stored, to_jsonb(f) AS folded
FROM (SELECT * FROM public.standings WHERE log_id = %(log_id)s) AS s
FULL JOIN pg_temp.standings AS f USING (surface, operator)
WHERE ROW(s.*) IS DISTINCT FROM ROW(f.*)
UNION ALL
SELECT 'codes' AS projection, jsonb_build_object('code', code) AS name,
    to_jsonb(s) AS stored, to_jsonb(f) AS folded
FROM (SELECT * FROM public.codes WHERE log_id = %(log_id)s) AS s
FULL JOIN pg_temp.codes AS f USING (code)
WHERE ROW(s.*) IS DISTINCT FROM ROW(f.*)
UNION ALL
SELECT 'clicks' AS projection, jsonb_build_object('code', code, 'position', position) AS name,
    to_jsonb(s) AS stored, to_jsonb(f) AS folded
FROM (SELECT * FROM public.clicks WHERE log_id = %(log_id)s) AS s
FULL JOIN pg_temp.clicks AS f USING (code, position)
WHERE ROW(s.*) IS DISTINCT FROM ROW(f.*)
UNION ALL
SELECT 'actions' AS projection, jsonb_build_object('position', position) AS name,
    to_jsonb(s) AS stored, to_jsonb(f) AS folded
FROM (SELECT * FROM public.actions WHERE log_id = %(log_id)s) AS s
FULL JOIN pg_temp.actions AS f USING (position)
WHERE ROW(s.*) IS DISTINCT FROM ROW(f.*)
UNION ALL
SELECT 'tallies' AS projection, jsonb_build_object('surface', surface, 'operator', operator, 'what', what,
    'motion', motion, 'token', token, 'size', size) AS name,
    to_jsonb(s) AS stored, to_jsonb(f) AS folded
FROM (SELECT * FROM public.tallies WHERE log_id = %(log_id)s) AS s
FULL JOIN pg_temp.tallies AS f USING (surface, operator, what, motion, token, size)
WHERE ROW(s.*) IS DISTINCT FROM ROW(f.*)
) AS differing
LIMIT %(limit)s;

-- name: courier_beyond
-- The part that reads the log for webhooks, if it is past the log's end, and the webhooks that are past
-- it, a few of them.
SELECT 'couriers' AS place, NULL::bytea AS name, cursor FROM couriers
WHERE log_id = %(log_id)s AND cursor NOT BETWEEN -1 AND %(size)s - 1
UNION ALL
SELECT 'webhooks', w.webhook, w.cursor FROM webhooks AS w LEFT JOIN couriers AS c USING (log_id)
WHERE w.log_id = %(log_id)s AND w.cursor NOT BETWEEN -1 AND coalesce(c.cursor, -1)
UNION ALL
SELECT 'deliveries', d.webhook, d.position
FROM deliveries AS d JOIN webhooks AS w USING (webhook)
WHERE w.log_id = %(log_id)s AND d.position >= %(size)s
LIMIT %(limit)s;
