-- The log, what is folded from it, and the private tables beside it.
--
-- Roles. Three roles do all the work; none owns a table, logs in by itself or bypasses a policy.
--   tallystick_sequencer  the only writer of the log and of its projections
--   tallystick_worker     follows the chain and submits requests
--   tallystick_api        serves people and agents: reads, submits requests, keeps accounts
-- A fourth, tallystick_definer, owns the few functions that each answer one question about rows that
-- the asker may not read.
--
-- Tenants. A transaction speaks for one account, named by
--   set_config('tallystick.account', '0x…' in lower case, true),
-- and for no account if that is empty. A secret shown before the account is known (an API
-- key's hash in hex, a sign-in nonce) is named the same way by 'tallystick.presented'.
--
-- Tables are of two sorts, and a test holds each to its own:
--   public   what the log publishes anyway. Everyone reads it; grants alone decide who writes.
--            Without row security the sequencer can COPY into it.
--   tenant   everything else. FORCE ROW LEVEL SECURITY: no policy, no row.
--
-- The log's own tables are partitioned by log and only ever grow: no role is granted UPDATE, DELETE
-- or TRUNCATE, and triggers refuse them to owners too. A superuser can still alter a row; the
-- anchored root is what shows it.

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY
        ARRAY['tallystick_sequencer', 'tallystick_worker', 'tallystick_api', 'tallystick_definer']
    LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS', role_name);
        EXCEPTION
            -- Roles belong to the whole cluster: another database may have made it, even just now.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
        IF NOT pg_has_role(current_user, role_name, 'SET') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', role_name);
        END IF;
    END LOOP;
END $$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public
    TO tallystick_sequencer, tallystick_worker, tallystick_api, tallystick_definer;

CREATE DOMAIN word AS bytea CHECK (octet_length(VALUE) = 32);
CREATE DOMAIN address AS text CHECK (VALUE ~ '^0x[0-9a-f]{40}$');
CREATE DOMAIN units AS numeric(78, 0) CHECK (VALUE >= 0);

-- The account that this transaction speaks for; NULL for none.
CREATE FUNCTION current_account() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('tallystick.account', true), '');

-- The same as a word of the log: an address, left-padded to 32 bytes.
CREATE FUNCTION current_word() RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN current_account() ~ '^0x[0-9a-f]{40}$'
    THEN decode(repeat('0', 24) || substr(current_account(), 3), 'hex') END;

-- The secret that was shown before the account is known; NULL for none.
CREATE FUNCTION presented() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('tallystick.presented', true), '');

-- The time of a deployment whose clock its owner moves (a demonstration, a settled history): one
-- row. In production there is none. Only the owner of the schema writes it.
CREATE TABLE simulated_clock (
    is_set boolean PRIMARY KEY DEFAULT true CHECK (is_set),
    now_ms bigint NOT NULL CHECK (now_ms >= 0)
);

-- The clock that stamps receipts, UTC milliseconds: when the statement that asks it reached the
-- server. A statement that waits for a lock may be old when it gets it, so locks are taken by one
-- before. (Used as `(SELECT clock_ms())`, it is asked once a statement and not once a row.)
CREATE FUNCTION clock_ms() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(
    (SELECT now_ms FROM simulated_clock),
    floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % only ever grows: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;

-- Keeps every role, the owner of the table included, from changing or removing a row of it.
CREATE PROCEDURE only_grows(grown regclass) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE TRIGGER only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON %s '
        'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', grown);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER only_grows', grown);
END $$;

-- Public: the log ---------------------------------------------------------------------------------

CREATE TABLE logs (
    log_id word PRIMARY KEY,
    origin text NOT NULL CHECK (origin <> ''),
    chain_id bigint NOT NULL CHECK (chain_id > 0),
    event_log address NOT NULL,
    escrow address NOT NULL,
    publisher address NOT NULL
);

-- `opening` is what a committing payload is the SHA-256 of: ABI words. `listed_kind` is the entry's
-- first word where its kind is one that the log lists (core/kinds.py), NULL for the frequent ones.
CREATE TABLE entries (
    log_id word NOT NULL,
    position bigint NOT NULL CHECK (position >= 0),
    entry bytea NOT NULL CHECK (octet_length(entry) = 256),
    opening bytea CHECK (octet_length(opening) BETWEEN 64 AND 1024 AND octet_length(opening) % 32 = 0),
    listed_kind word CHECK (listed_kind = substring(entry FROM 1 FOR 32)),
    PRIMARY KEY (log_id, position)
) PARTITION BY LIST (log_id);

-- What happened to a lead or a contract: by the entry's subject word. (An index of a partition need
-- not repeat the log's id.)
CREATE INDEX entries_by_subject ON entries (substring(entry FROM 97 FOR 32), position);
-- A contract's outcomes and reversals: by the actor word of the kinds that start with "outcome".
CREATE INDEX entries_by_contract ON entries (substring(entry FROM 65 FOR 32), position)
    WHERE substring(entry FROM 1 FOR 7) = '\x6f7574636f6d65';
CREATE INDEX entries_by_kind ON entries (listed_kind, position) WHERE listed_kind IS NOT NULL;

-- Roots of the perfect subtrees of 256, 65536, … entries: the tiles above the leaves.
CREATE TABLE subtrees (
    log_id word NOT NULL,
    level smallint NOT NULL CHECK (level > 0 AND level % 8 = 0),
    position bigint NOT NULL CHECK (position >= 0),
    hash word NOT NULL,
    PRIMARY KEY (log_id, level, position)
) PARTITION BY LIST (log_id);

-- Each row names the checkpoint that it follows, and only one can: a second writer is refused.
-- `nodes` is the compact range at `size`, left to right; `time_ms` is the log's own clock there.
CREATE TABLE checkpoints (
    log_id word NOT NULL,
    size bigint NOT NULL CHECK (size > 0 AND size < 1099511627776),
    previous_size bigint NOT NULL CHECK (previous_size >= 0 AND previous_size < size),
    root word NOT NULL,
    time_ms bigint NOT NULL,
    nodes bytea[] NOT NULL,
    signature bytea NOT NULL,
    PRIMARY KEY (log_id, size),
    UNIQUE (log_id, previous_size)
) PARTITION BY LIST (log_id);

-- What pages of surfaces show of a policy stands in columns: a document is large.
CREATE TABLE policies (
    log_id word NOT NULL,
    hash word NOT NULL,
    document jsonb NOT NULL,
    attribution text GENERATED ALWAYS AS (document ->> 'attribution') STORED,
    lateness_s integer GENERATED ALWAYS AS ((document ->> 'lateness_s')::integer) STORED,
    PRIMARY KEY (log_id, hash)
);

-- Public: projections of the log ------------------------------------------------------------------

-- `received_ms` is the last receipt that an opening of the surface's entries states.
CREATE TABLE surfaces (
    log_id word NOT NULL,
    surface word NOT NULL,
    owner word NOT NULL,
    policy_hash word NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    received_ms bigint NOT NULL,
    PRIMARY KEY (log_id, surface)
);

CREATE TABLE operators (
    log_id word NOT NULL,
    operator word NOT NULL,
    level text NOT NULL,
    registered bigint NOT NULL,
    PRIMARY KEY (log_id, operator)
);

-- `opened` and the `last_*` are positions in the log, 0 for none.
CREATE TABLE contracts (
    log_id word NOT NULL,
    contract_id word NOT NULL,
    surface word NOT NULL,
    owner word NOT NULL,
    operator word NOT NULL,
    opened bigint NOT NULL CHECK (opened > 0),
    closed_at_ms bigint,
    earned_units units NOT NULL,
    reversed_units units NOT NULL,
    over_units units NOT NULL,
    outcomes bigint NOT NULL,
    reversals bigint NOT NULL,
    last_outcome bigint NOT NULL,
    last_reversal bigint NOT NULL,
    last_settlement bigint NOT NULL,
    rules jsonb NOT NULL,
    PRIMARY KEY (log_id, contract_id)
);
CREATE INDEX contracts_by_opening ON contracts (log_id, opened);
CREATE INDEX contracts_by_surface ON contracts (log_id, surface, opened);
CREATE INDEX contracts_by_owner ON contracts (log_id, owner, opened);
CREATE INDEX contracts_by_operator ON contracts (log_id, operator, opened);

-- Tenant: leads, seen by their surface's owner and by registered operators -------------------------

-- `document` holds the rest of what the fold remembers: visits, touches by operator, counted contracts,
-- reversible outcomes. Of these the API reads an operator's own count of touches.
CREATE TABLE leads (
    log_id word NOT NULL,
    lead word NOT NULL,
    surface word NOT NULL,
    state text NOT NULL,
    since_ms bigint NOT NULL,
    touches bigint NOT NULL,
    document jsonb NOT NULL,
    PRIMARY KEY (log_id, lead)
);
CREATE INDEX leads_by_state ON leads (surface, state, lead);

-- Tenant: requests, seen by the account that made them ---------------------------------------------

-- Every request ever taken, without its body. `request_id` is made from log, account and
-- idempotency key, so its uniqueness is theirs. Its first turn is 1; each time that it comes again
-- after a refusal that time changes, it has one more. `body_hash` is SHA-256(salt ‖ what was sent).
-- `seq` makes a request come after those that its sender saw taken, and within a surface it is the
-- order of receipt: whoever submits holds the surface's lock until its transaction ends.
CREATE TABLE requests (
    log_id word NOT NULL,
    request_id uuid NOT NULL,
    turn integer NOT NULL CHECK (turn > 0),
    seq bigint GENERATED ALWAYS AS IDENTITY,
    account address NOT NULL,
    idempotency_key text NOT NULL CHECK (octet_length(idempotency_key) BETWEEN 1 AND 255),
    kind text NOT NULL,
    body_hash word NOT NULL,
    received_ms bigint NOT NULL,
    PRIMARY KEY (log_id, request_id, turn)
) PARTITION BY LIST (log_id);

-- How many policies an account has asked for.
CREATE INDEX requests_for_policies ON requests (account) WHERE kind = 'publish_policy';

-- The requests that wait. The sequencer takes whatever rows it sees, by rank and then by seq, and
-- removes exactly these: one that commits late is never passed over. On a surface ranks go up with
-- seq, so its order is that of receipt; the ranks of many surfaces make them take turns.
CREATE TABLE inbox (
    log_id word NOT NULL,
    seq bigint NOT NULL,
    account address NOT NULL,
    kind text NOT NULL,
    received_ms bigint NOT NULL,
    body json NOT NULL,
    rank bigint NOT NULL DEFAULT 0 CHECK (rank >= 0),
    PRIMARY KEY (log_id, seq)
);
CREATE INDEX inbox_by_rank ON inbox (log_id, rank, seq);

-- What became of each request: `count` entries from `first_position` on, or a refusal.
CREATE TABLE results (
    log_id word NOT NULL,
    seq bigint NOT NULL,
    account address NOT NULL,
    first_position bigint NOT NULL CHECK (first_position >= 0),
    count integer NOT NULL CHECK (count >= 0),
    code text,
    message text,
    PRIMARY KEY (log_id, seq),
    CHECK ((code IS NULL) = (message IS NULL)),
    CHECK (code IS NULL OR count = 0)
) PARTITION BY LIST (log_id);

-- Tenant: what may be erased ----------------------------------------------------------------------

CREATE TABLE lead_identities (
    log_id word NOT NULL,
    surface word NOT NULL,
    external_id text NOT NULL CHECK (octet_length(external_id) BETWEEN 1 AND 512),
    lead word NOT NULL,
    PRIMARY KEY (log_id, surface, external_id),
    UNIQUE (log_id, lead)
);

-- An owner's own id of an order of a lead, and the random word by which the log knows it.
CREATE TABLE order_identities (
    log_id word NOT NULL,
    surface word NOT NULL,
    lead word NOT NULL,
    external_id text NOT NULL CHECK (octet_length(external_id) BETWEEN 1 AND 512),
    order_word word NOT NULL,
    PRIMARY KEY (log_id, surface, lead, external_id)
);

-- `commitment` = SHA-256(salt ‖ body) is what the log holds; `body` is canonical JSON. What is said
-- of no lead (an operator's profile) has neither surface nor lead.
CREATE TABLE private_payloads (
    log_id word NOT NULL,
    commitment word NOT NULL,
    surface word,
    lead word,
    account address NOT NULL,
    salt word NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (log_id, commitment),
    CHECK ((surface IS NULL) = (lead IS NULL))
);
CREATE INDEX private_payloads_by_lead ON private_payloads (log_id, surface, lead);

-- Tenant: accounts and proposals -------------------------------------------------------------------

CREATE TABLE accounts (
    account address PRIMARY KEY,
    scopes text[] NOT NULL,
    created_ms bigint NOT NULL
);

CREATE TABLE api_keys (
    account address NOT NULL REFERENCES accounts,
    key_hash word NOT NULL UNIQUE,
    label text NOT NULL,
    scopes text[] NOT NULL,
    created_ms bigint NOT NULL,
    expires_ms bigint NOT NULL,
    revoked_ms bigint,
    PRIMARY KEY (account, key_hash)
);

CREATE TABLE signin_nonces (
    nonce text PRIMARY KEY CHECK (octet_length(nonce) BETWEEN 8 AND 128),
    expires_ms bigint NOT NULL
);
CREATE INDEX signin_nonces_by_expiry ON signin_nonces (expires_ms);

-- One row an account and limited thing; the time at which its allowance is full again (GCRA).
CREATE TABLE rate_limits (
    account address NOT NULL,
    bucket text NOT NULL,
    full_at_us bigint NOT NULL,
    PRIMARY KEY (account, bucket)
);

-- A contract on its way: signed by the operator, then by the owner, then opened on chain (when it
-- is in `contracts`). Its status follows from these columns and is stored nowhere.
CREATE TABLE proposals (
    log_id word NOT NULL,
    contract_id word NOT NULL,
    surface word NOT NULL,
    operator address NOT NULL,
    owner address NOT NULL CHECK (owner <> operator),
    terms jsonb NOT NULL,
    operator_signature bytea NOT NULL,
    owner_signature bytea,
    created_ms bigint NOT NULL,
    accepted_ms bigint,
    declined_ms bigint,
    PRIMARY KEY (log_id, contract_id),
    CHECK ((owner_signature IS NULL) = (accepted_ms IS NULL)),
    CHECK (accepted_ms IS NULL OR declined_ms IS NULL)
);
CREATE INDEX proposals_by_operator ON proposals (log_id, operator, created_ms);
CREATE INDEX proposals_by_owner ON proposals (log_id, owner, created_ms);

-- What only grows ---------------------------------------------------------------------------------

CALL only_grows('logs');
CALL only_grows('policies');

DO $$
DECLARE
    log_table text;
BEGIN
    FOREACH log_table IN ARRAY ARRAY['entries', 'subtrees', 'checkpoints', 'requests', 'results']
    LOOP
        CALL only_grows(log_table::regclass);
    END LOOP;
END $$;

-- A log whose receipts were real times keeps them so: its database gets no clock that is moved by hand.
CREATE FUNCTION refuse_simulation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM logs) THEN
        RAISE EXCEPTION 'a log of this database has real times: its clock is not moved by hand'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER before_any_log BEFORE INSERT ON simulated_clock
    FOR EACH ROW EXECUTE FUNCTION refuse_simulation();

-- Begins a log: its row and its partitions. Only the owner of the schema can.
CREATE PROCEDURE create_log(
    log_id bytea, origin text, chain_id bigint, event_log text, escrow text, publisher text
) LANGUAGE plpgsql AS $$
DECLARE
    log_table text;
    partition_name text;
BEGIN
    INSERT INTO logs VALUES (log_id, origin, chain_id, event_log, escrow, publisher);
    FOREACH log_table IN ARRAY ARRAY['entries', 'subtrees', 'checkpoints', 'requests', 'results']
    LOOP
        partition_name := log_table || '_' || left(encode(sha256(log_id), 'hex'), 32);
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF %I FOR VALUES IN (%L)', partition_name, log_table, log_id);
        CALL only_grows(partition_name::regclass);
        IF log_table IN ('requests', 'results') THEN
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', partition_name);
            EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', partition_name);
        END IF;
    END LOOP;
END $$;

-- Who may do what ---------------------------------------------------------------------------------

GRANT SELECT ON
    logs, entries, subtrees, checkpoints, policies, surfaces, operators, contracts, simulated_clock
    TO tallystick_sequencer, tallystick_worker, tallystick_api;
GRANT INSERT ON entries, subtrees, checkpoints, policies TO tallystick_sequencer;
GRANT INSERT, UPDATE ON surfaces, operators, contracts TO tallystick_sequencer;

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY[
        'leads', 'requests', 'inbox', 'results', 'lead_identities', 'order_identities',
        'private_payloads',
        'accounts', 'api_keys', 'signin_nonces', 'rate_limits', 'proposals'
    ]
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE ON leads TO tallystick_sequencer;
CREATE POLICY writer ON leads TO tallystick_sequencer USING (true) WITH CHECK (true);
GRANT SELECT ON leads TO tallystick_worker, tallystick_api;
CREATE POLICY worker ON leads FOR SELECT TO tallystick_worker USING (true);
CREATE POLICY owner_or_operator ON leads FOR SELECT TO tallystick_api USING (
    EXISTS (
        SELECT FROM surfaces s
        WHERE s.log_id = leads.log_id AND s.surface = leads.surface AND s.owner = current_word()
    ) OR EXISTS (
        SELECT FROM operators o
        WHERE o.log_id = leads.log_id AND o.operator = current_word()
    )
);

-- Whoever submits cannot choose its receipt: the database's clock at this statement is the only one.
GRANT SELECT, INSERT ON requests TO tallystick_worker, tallystick_api;
CREATE POLICY sender ON requests TO tallystick_worker, tallystick_api
    USING (account = current_account())
    WITH CHECK (account = current_account() AND received_ms = (SELECT clock_ms()));

GRANT INSERT ON inbox TO tallystick_worker, tallystick_api;
CREATE POLICY sender ON inbox FOR INSERT TO tallystick_worker, tallystick_api
    WITH CHECK (account = current_account() AND received_ms = (SELECT clock_ms()));
GRANT SELECT, DELETE ON inbox TO tallystick_sequencer;
CREATE POLICY writer ON inbox TO tallystick_sequencer USING (true);

GRANT SELECT, INSERT ON results TO tallystick_sequencer;
CREATE POLICY writer ON results TO tallystick_sequencer USING (true) WITH CHECK (true);
GRANT SELECT ON results TO tallystick_worker, tallystick_api;
CREATE POLICY sender ON results FOR SELECT TO tallystick_worker, tallystick_api
    USING (account = current_account());

-- Identities are read and erased by the surface's owner. Everyone else only learns the pseudonym of
-- an identity that they already know, from the function below, which belongs to a role of its own.
GRANT SELECT, DELETE ON lead_identities TO tallystick_api;
CREATE POLICY owner ON lead_identities TO tallystick_api USING (
    EXISTS (
        SELECT FROM surfaces s
        WHERE s.log_id = lead_identities.log_id AND s.surface = lead_identities.surface
            AND s.owner = current_word()
    )
) WITH CHECK (false);
-- Orders are named, read and erased by the owner alone.
GRANT SELECT, INSERT, DELETE ON order_identities TO tallystick_api;
CREATE POLICY owner ON order_identities TO tallystick_api USING (
    EXISTS (
        SELECT FROM surfaces s
        WHERE s.log_id = order_identities.log_id AND s.surface = order_identities.surface
            AND s.owner = current_word()
    )
);
GRANT SELECT ON surfaces TO tallystick_definer;
GRANT SELECT, INSERT ON lead_identities TO tallystick_definer;
CREATE POLICY assigner ON lead_identities TO tallystick_definer USING (true) WITH CHECK (true);

-- The pseudonyms of these identities on a surface; one that has none yet gets the fresh one offered.
CREATE FUNCTION assign_pseudonyms(
    of_log bytea, on_surface bytea, external_ids text[], fresh bytea[]
) RETURNS TABLE (external_id text, lead bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    IF current_account() IS NULL THEN
        RAISE EXCEPTION 'a pseudonym is given to an account only'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO lead_identities (log_id, surface, external_id, lead)
        SELECT s.log_id, s.surface, offered.external_id, offered.lead
        FROM surfaces s, unnest(external_ids, fresh) AS offered (external_id, lead)
        WHERE s.log_id = of_log AND s.surface = on_surface
        ORDER BY offered.external_id
        ON CONFLICT (log_id, surface, external_id) DO NOTHING;
    RETURN QUERY SELECT i.external_id, i.lead::bytea FROM lead_identities i
        WHERE i.log_id = of_log AND i.surface = on_surface AND i.external_id = ANY (external_ids);
END $$;

GRANT CREATE ON SCHEMA public TO tallystick_definer;
ALTER FUNCTION assign_pseudonyms OWNER TO tallystick_definer;
REVOKE CREATE ON SCHEMA public FROM tallystick_definer;
REVOKE ALL ON FUNCTION assign_pseudonyms FROM PUBLIC;
GRANT EXECUTE ON FUNCTION assign_pseudonyms TO tallystick_api;

-- The worker submits with the same statement as the API; without a policy it gets and puts nothing.
GRANT SELECT, INSERT ON private_payloads TO tallystick_worker;
GRANT SELECT, INSERT, DELETE ON private_payloads TO tallystick_api;
CREATE POLICY sender ON private_payloads FOR INSERT TO tallystick_api
    WITH CHECK (account = current_account());
CREATE POLICY owner_or_sender ON private_payloads FOR SELECT TO tallystick_api USING (
    account = current_account() OR EXISTS (
        SELECT FROM surfaces s
        WHERE s.log_id = private_payloads.log_id AND s.surface = private_payloads.surface
            AND s.owner = current_word()
    )
);
CREATE POLICY eraser ON private_payloads FOR DELETE TO tallystick_api USING (
    EXISTS (
        SELECT FROM surfaces s
        WHERE s.log_id = private_payloads.log_id AND s.surface = private_payloads.surface
            AND s.owner = current_word()
    )
);

GRANT SELECT, INSERT, UPDATE ON accounts TO tallystick_api;
CREATE POLICY self ON accounts TO tallystick_api
    USING (account = current_account()) WITH CHECK (account = current_account());

GRANT SELECT, INSERT, UPDATE (revoked_ms) ON api_keys TO tallystick_api;
CREATE POLICY self ON api_keys TO tallystick_api
    USING (account = current_account()) WITH CHECK (account = current_account());
CREATE POLICY bearer ON api_keys FOR SELECT TO tallystick_api
    USING (encode(key_hash, 'hex') = presented());

GRANT SELECT, INSERT, DELETE ON signin_nonces TO tallystick_api;
CREATE POLICY bearer ON signin_nonces TO tallystick_api
    USING (nonce = presented()) WITH CHECK (nonce = presented());
GRANT SELECT, DELETE ON signin_nonces TO tallystick_worker;
CREATE POLICY sweeper ON signin_nonces TO tallystick_worker USING (true) WITH CHECK (false);

GRANT SELECT, INSERT, UPDATE ON rate_limits TO tallystick_api;
CREATE POLICY self ON rate_limits TO tallystick_api
    USING (account = current_account()) WITH CHECK (account = current_account());

GRANT SELECT, INSERT, UPDATE (owner_signature, accepted_ms, declined_ms) ON proposals
    TO tallystick_api;
CREATE POLICY party ON proposals FOR SELECT TO tallystick_api
    USING (current_account() IN (owner, operator));
CREATE POLICY proposer ON proposals FOR INSERT TO tallystick_api
    WITH CHECK (operator = current_account());
CREATE POLICY acceptor ON proposals FOR UPDATE TO tallystick_api
    USING (current_account() IN (owner, operator)) WITH CHECK (current_account() IN (owner, operator));
GRANT SELECT ON proposals TO tallystick_worker;
CREATE POLICY worker ON proposals FOR SELECT TO tallystick_worker USING (true);
