-- The log, what is folded from it, and the private tables beside it.
--
-- Logins. Each part of the service logs in as a role of its own; none owns a table, is a member of
-- another role or bypasses a policy, so there is nothing that a login could switch to.
--   tallystick_sequencer  the only writer of the log and of its projections
--   tallystick_worker     follows the chain and submits requests
--   tallystick_api        serves people and agents: reads, submits requests
--   tallystick_registrar  checks what wallets have signed, and mints their keys
-- One more role, tallystick_definer, logs in nowhere. It owns the functions that do for a part what the
-- part may not do itself: look up a key, take requests, give pseudonyms, count what waits.
--
-- Tenants. The API cannot name an account. Its transaction presents the secret of a key, in hex, as
--   set_config('tallystick.presented', …, true),
-- and speaks for the account of that key while the key is live: `current_account()` looks it up. The
-- table keeps the hash of a secret, and a secret is the hash of the key that the caller was given: so
-- neither the table nor what the server writes of statements is a key. The worker alone names the
-- account that it submits for, by 'tallystick.account' and `named_account()`.
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
    FOREACH role_name IN ARRAY ARRAY[
        'tallystick_sequencer', 'tallystick_worker', 'tallystick_api', 'tallystick_registrar',
        'tallystick_definer'
    ]
    LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I %s NOINHERIT', role_name,
                CASE role_name WHEN 'tallystick_definer' THEN 'NOLOGIN' ELSE 'LOGIN' END);
        EXCEPTION
            -- Roles belong to the whole cluster: another database may have made it, even just now.
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
    -- Who gives a function to a role must be able to become it.
    IF NOT pg_has_role(current_user, 'tallystick_definer', 'SET') THEN
        GRANT tallystick_definer TO CURRENT_USER WITH INHERIT FALSE, SET TRUE;
    END IF;
END $$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public
    TO tallystick_sequencer, tallystick_worker, tallystick_api, tallystick_registrar,
        tallystick_definer;

CREATE DOMAIN word AS bytea CHECK (octet_length(VALUE) = 32);
CREATE DOMAIN address AS text CHECK (VALUE ~ '^0x[0-9a-f]{40}$');
-- (PostgreSQL counts NaN as the largest number.)
CREATE DOMAIN units AS numeric(78, 0) CHECK (VALUE >= 0 AND VALUE <> 'NaN');
-- Terms of a contract as JSON. Both parties of a contract may be one attacker, and the pipeline reads what
-- they have signed with what all others have: so each is flat and short, and its numbers can be counted with.
CREATE DOMAIN deal_terms AS jsonb CHECK (
    jsonb_typeof(VALUE) = 'object' AND octet_length(VALUE::text) <= 16384
    AND VALUE::text !~ '[0-9]{100}'
    AND NOT jsonb_path_exists(VALUE, 'strict $.* ? (@.type() == "object" || @.type() == "array")')
    AND (VALUE ->> 'opens_at_s')::bigint BETWEEN 0 AND 9007199254740992);

-- No function is everyone's: each is executed by its owner alone until a grant says otherwise. Who
-- migrates need not be a superuser, and has no rights to what the definer owns: so the grants of a
-- function, and the triggers that call it, come before it is handed over.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON ROUTINES FROM PUBLIC;

-- The account that a worker names for its transaction; NULL for none. No policy of the API asks it.
CREATE FUNCTION named_account() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('tallystick.account', true), '');

-- The secret that this transaction presents; NULL for none.
CREATE FUNCTION presented() RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE
RETURN decode(nullif(current_setting('tallystick.presented', true), ''), 'hex');

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
-- first word where its kind is one that the log lists (core/entries/kinds.py), NULL for the frequent ones.
CREATE TABLE entries (
    log_id word NOT NULL,
    position bigint NOT NULL CHECK (position >= 0),
    entry bytea NOT NULL CHECK (octet_length(entry) = 256),
    opening bytea CHECK (octet_length(opening) BETWEEN 64 AND 1024 AND octet_length(opening) % 32 = 0),
    listed_kind word CHECK (listed_kind = substring(entry FROM 1 FOR 32)),
    PRIMARY KEY (log_id, position)
) PARTITION BY LIST (log_id);

-- The entries about a lead or a contract: by the entry's subject word. (An index of a partition need
-- not repeat the log's id.)
CREATE INDEX entries_by_subject ON entries (substring(entry FROM 97 FOR 32), position);
-- A contract's outcomes and reversals: by the actor word of the kinds that start with "outcome".
CREATE INDEX entries_by_contract ON entries (substring(entry FROM 65 FOR 32), position)
    WHERE substring(entry FROM 1 FOR 7) = '\x6f7574636f6d65';
CREATE INDEX entries_by_kind ON entries (listed_kind, position) WHERE listed_kind IS NOT NULL;
-- The entries about a surface, or about an operator on it: by the surface word, kind and subject word.
CREATE INDEX entries_by_surface ON entries
    (substring(entry FROM 33 FOR 32), listed_kind, substring(entry FROM 97 FOR 32), position)
    WHERE listed_kind IS NOT NULL;

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

-- Policies. The parts that pages of surfaces show stand in columns: a document is large.
CREATE TABLE policies (
    log_id word NOT NULL,
    hash word NOT NULL,
    document jsonb NOT NULL,
    attribution text GENERATED ALWAYS AS (document ->> 'attribution') STORED,
    lateness_s integer GENERATED ALWAYS AS ((document ->> 'lateness_s')::integer) STORED,
    PRIMARY KEY (log_id, hash)
);

-- The settings that an owner changes freely: actions, levels, limits.
CREATE TABLE settings (
    log_id word NOT NULL,
    hash word NOT NULL,
    document jsonb NOT NULL,
    PRIMARY KEY (log_id, hash)
);

-- Public: projections of the log ------------------------------------------------------------------

-- `received_ms` is the last receipt that an opening of the surface's entries states. `pool` is the use
-- of what the operators share whose level comes from forecasts, `cohorts` the counts that forecasts
-- are measured by, `errands` the number of requested actions that wait to be taken.
CREATE TABLE surfaces (
    log_id word NOT NULL,
    surface word NOT NULL,
    owner word NOT NULL,
    policy_hash word NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    received_ms bigint NOT NULL,
    settings_hash word,
    settings_version integer NOT NULL CHECK ((settings_version = 0) = (settings_hash IS NULL)),
    pool jsonb NOT NULL,
    cohorts jsonb NOT NULL,
    errands bigint NOT NULL DEFAULT 0 CHECK (errands >= 0),
    PRIMARY KEY (log_id, surface)
);

CREATE TABLE operators (
    log_id word NOT NULL,
    operator word NOT NULL,
    registered bigint NOT NULL,
    PRIMARY KEY (log_id, operator)
);

-- The level of an operator on a surface, its ground, and in `document` the evidence for the next one.
-- The first of its forecasts that are not opened is sealed by `sealed`, and its window ends at
-- `scored_from_ms`.
CREATE TABLE standings (
    log_id word NOT NULL,
    surface word NOT NULL,
    operator word NOT NULL,
    level smallint NOT NULL CHECK (level BETWEEN 0 AND 3),
    ground text NOT NULL,
    is_suspended boolean NOT NULL,
    sealed word,
    scored_from_ms bigint CHECK ((scored_from_ms IS NULL) = (sealed IS NULL)),
    document jsonb NOT NULL,
    PRIMARY KEY (log_id, surface, operator)
);
CREATE INDEX standings_to_score ON standings (log_id, scored_from_ms) WHERE sealed IS NOT NULL;
CREATE INDEX standings_by_operator ON standings (log_id, operator, surface);

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

-- Tenant: leads, seen by their surface's owner and by operators that have risen on it --------------

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

-- Counts the policies and settings that an account has asked for.
CREATE INDEX requests_for_documents ON requests (account, kind)
    WHERE kind IN ('publish_policy', 'publish_settings');

-- The requests that wait. The sequencer takes whatever rows it sees, by rank and then by seq, and
-- removes exactly these: one that commits late is never passed over. On a surface ranks go up with
-- seq, so its order is that of receipt; the ranks of many surfaces make them take turns. `sender` is
-- the login by which the request came. The sequencer holds thousands of bodies in memory: none is larger
-- than its kind can need.
CREATE TABLE inbox (
    log_id word NOT NULL,
    seq bigint NOT NULL,
    account address NOT NULL,
    sender text NOT NULL,
    kind text NOT NULL,
    received_ms bigint NOT NULL,
    body json NOT NULL,
    rank bigint NOT NULL CHECK (rank >= 0),
    PRIMARY KEY (log_id, seq),
    CHECK (octet_length(body::text) <= CASE
        WHEN kind IN ('publish_policy', 'publish_settings') THEN 262144 ELSE 8192 END)
);
CREATE INDEX inbox_by_rank ON inbox (log_id, rank, seq);

-- The rights of logins to requests, by kind, and for whom: the program's own table
-- (core/world/rights.py), which `tallystick migrate` writes here. A kind without a row is taken from no login.
-- `scope` is what the presented key must have; NULL for the worker, who presents none. `actor` is the
-- field of the body that must hold the account as a word, NULL for none. `names_key` is true where the
-- body must name the key itself. The rest is true where the body's surface must be the account's, or the
-- account the log's publisher.
CREATE TABLE request_rights (
    kind text PRIMARY KEY,
    sender text NOT NULL,
    scope text,
    actor text,
    names_key boolean NOT NULL,
    is_surface_owners boolean NOT NULL,
    is_publishers boolean NOT NULL,
    CHECK (actor IS NOT NULL OR is_surface_owners OR is_publishers),
    CHECK (scope IS NOT NULL OR is_publishers),
    CHECK (scope IS NOT NULL OR NOT names_key)
);

-- The fate of each request: `count` entries from `first_position` on, or a refusal.
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
    body bytea NOT NULL CHECK (octet_length(body) <= 65536),
    PRIMARY KEY (log_id, commitment),
    CHECK ((surface IS NULL) = (lead IS NULL)),
    CHECK (commitment = sha256(salt || body))
);
CREATE INDEX private_payloads_by_lead ON private_payloads (log_id, surface, lead);

-- Tenant: accounts and proposals -------------------------------------------------------------------

CREATE TABLE accounts (
    account address PRIMARY KEY,
    created_ms bigint NOT NULL
);

-- `key` is a random id, which acts by a delegate's key carry into the log. `parent` is the wallet's
-- key that a delegate was made by: NULL for a wallet's own key, which only a signed message makes.
-- `surfaces` limits a key to these surfaces, NULL to none in particular. A key ends with its parent.
CREATE TABLE api_keys (
    key word PRIMARY KEY,
    account address NOT NULL REFERENCES accounts,
    secret_hash word NOT NULL UNIQUE,
    parent word REFERENCES api_keys ON DELETE CASCADE,
    name text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 128),
    scopes text[] NOT NULL CHECK (cardinality(scopes) BETWEEN 1 AND 32),
    surfaces bytea[] CHECK (
        cardinality(surfaces) BETWEEN 1 AND 100 AND octet_length(array_to_string(surfaces, '')) <= 6600),
    created_ms bigint NOT NULL,
    expires_ms bigint NOT NULL CHECK (expires_ms >= created_ms),
    revoked_ms bigint,
    CHECK (parent IS NULL OR parent <> key)
);
CREATE INDEX api_keys_by_account ON api_keys (account, created_ms, key);
CREATE INDEX api_keys_by_parent ON api_keys (parent) WHERE parent IS NOT NULL;

-- A nonce that was used stays until it expires, so that it cannot be put back and used again.
CREATE TABLE signin_nonces (
    nonce text PRIMARY KEY CHECK (octet_length(nonce) BETWEEN 8 AND 128),
    expires_ms bigint NOT NULL,
    used_ms bigint
);
CREATE INDEX signin_nonces_by_expiry ON signin_nonces (expires_ms);

-- One row an account and limited thing; the time at which its allowance is full again (GCRA).
CREATE TABLE rate_limits (
    account address NOT NULL,
    bucket text NOT NULL CHECK (octet_length(bucket) <= 32),
    full_at_us bigint NOT NULL,
    PRIMARY KEY (account, bucket)
) WITH (fillfactor = 50);

-- A contract on its way: signed by the operator, then by the owner, then opened on chain (when it
-- is in `contracts`). Its status follows from these columns and is stored nowhere.
CREATE TABLE proposals (
    log_id word NOT NULL,
    contract_id word NOT NULL,
    surface word NOT NULL,
    operator address NOT NULL,
    owner address NOT NULL CHECK (owner <> operator),
    terms deal_terms NOT NULL,
    operator_signature bytea NOT NULL CHECK (octet_length(operator_signature) <= 16384),
    owner_signature bytea CHECK (octet_length(owner_signature) <= 16384),
    created_ms bigint NOT NULL,
    accepted_ms bigint,
    declined_ms bigint,
    withdrawn_ms bigint,
    PRIMARY KEY (log_id, contract_id),
    CHECK ((owner_signature IS NULL) = (accepted_ms IS NULL)),
    CHECK (num_nonnulls(accepted_ms, declined_ms, withdrawn_ms) <= 1)
);
CREATE INDEX proposals_by_operator ON proposals (log_id, operator, created_ms);
CREATE INDEX proposals_by_owner ON proposals (log_id, owner, created_ms);

-- Tables that only grow ---------------------------------------------------------------------------

CALL only_grows('logs');
CALL only_grows('policies');
CALL only_grows('settings');

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

-- The caller --------------------------------------------------------------------------------------

-- (All of these are in plpgsql, whose plans are kept: policies and functions ask them several times in
-- each transaction, and a function in SQL that is not inlined is planned at each call.)

-- The key whose secret this transaction presents, and whether it is `live`, `expired` or `revoked`: for the
-- functions below, whose queries it becomes a part of: so is the clock, which is `clock_ms()` written out. It
-- is read with the rights of who asks it.
CREATE VIEW key_presented WITH (security_invoker = true) AS
SELECT k.account::text AS account, k.key::bytea AS key, k.name, k.parent::bytea AS parent, k.scopes,
    k.surfaces::bytea[] AS surfaces, least(k.expires_ms, p.expires_ms) AS expires_ms,
    CASE
        WHEN k.revoked_ms IS NOT NULL OR p.revoked_ms IS NOT NULL THEN 'revoked'
        WHEN least(k.expires_ms, p.expires_ms) <= coalesce(
            (SELECT now_ms FROM simulated_clock),
            floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint) THEN 'expired'
        ELSE 'live'
    END AS state
FROM api_keys k LEFT JOIN api_keys p ON p.key = k.parent
WHERE k.secret_hash = sha256(presented());

-- Presents the secret of a key for this transaction, and returns what is known of the key.
CREATE FUNCTION present(secret bytea) RETURNS TABLE (
    account text, key bytea, name text, parent bytea, scopes text[], surfaces bytea[],
    expires_ms bigint, state text
) LANGUAGE plpgsql SECURITY DEFINER ROWS 1 SET search_path = public, pg_temp AS $$
DECLARE
    shown CONSTANT text := set_config('tallystick.presented', encode(secret, 'hex'), true);
BEGIN
    RETURN QUERY SELECT * FROM key_presented;
END $$;

-- The functions that policies ask, as `(SELECT current_account())`, so that it is looked up once a statement. All
-- are NULL unless a live key is presented.
CREATE FUNCTION current_account() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT k.account FROM key_presented AS k WHERE k.state = 'live');
END $$;

-- The same as a word of the log: an address, left-padded to 32 bytes.
CREATE FUNCTION current_word() RETURNS bytea
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (
        SELECT decode(repeat('0', 24) || substr(k.account, 3), 'hex')
        FROM key_presented AS k WHERE k.state = 'live');
END $$;

-- The random id of the key.
CREATE FUNCTION current_key() RETURNS bytea
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT k.key FROM key_presented AS k WHERE k.state = 'live');
END $$;

CREATE FUNCTION current_scopes() RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT k.scopes FROM key_presented AS k WHERE k.state = 'live');
END $$;

-- The surfaces that the key is limited to; NULL for all, as for none.
CREATE FUNCTION current_surfaces() RETURNS bytea[]
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT k.surfaces FROM key_presented AS k WHERE k.state = 'live');
END $$;

-- True if the key may do what this scope names, on this surface or, if that is NULL, beside any.
CREATE FUNCTION key_may(scope text, on_surface bytea) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM key_presented AS k
        WHERE k.state = 'live' AND scope = ANY (k.scopes)
            AND (k.surfaces IS NULL OR on_surface IS NULL OR on_surface = ANY (k.surfaces))
    );
END $$;

-- Rights of logins --------------------------------------------------------------------------------

GRANT SELECT ON
    logs, entries, subtrees, checkpoints, policies, settings, surfaces, operators, standings,
    contracts, simulated_clock
    TO tallystick_sequencer, tallystick_worker, tallystick_api;
GRANT INSERT ON entries, subtrees, checkpoints, policies, settings TO tallystick_sequencer;
GRANT INSERT, UPDATE ON surfaces, operators, standings, contracts TO tallystick_sequencer;

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
        WHERE s.log_id = leads.log_id AND s.surface = leads.surface AND s.owner = (SELECT current_word())
    ) OR EXISTS (
        SELECT FROM standings t
        WHERE t.log_id = leads.log_id AND t.surface = leads.surface
            AND t.operator = (SELECT current_word()) AND t.level > 0 AND NOT t.is_suspended
    )
);

-- No login writes requests or the inbox: `take_requests` and `take_request` below do, as they find right.
GRANT SELECT ON requests TO tallystick_worker, tallystick_api;
CREATE POLICY sender ON requests FOR SELECT TO tallystick_api
    USING (account = (SELECT current_account()));
CREATE POLICY publisher ON requests FOR SELECT TO tallystick_worker USING (
    EXISTS (SELECT FROM logs l WHERE l.log_id = requests.log_id AND l.publisher = account));
GRANT SELECT, DELETE ON inbox TO tallystick_sequencer;
CREATE POLICY writer ON inbox TO tallystick_sequencer USING (true);

GRANT SELECT, INSERT ON results TO tallystick_sequencer;
CREATE POLICY writer ON results TO tallystick_sequencer USING (true) WITH CHECK (true);
GRANT SELECT ON results TO tallystick_worker, tallystick_api;
CREATE POLICY sender ON results FOR SELECT TO tallystick_api
    USING (account = (SELECT current_account()));
CREATE POLICY publisher ON results FOR SELECT TO tallystick_worker USING (
    EXISTS (SELECT FROM logs l WHERE l.log_id = results.log_id AND l.publisher = account));

-- Identities are read and erased by the surface's owner. Everyone else only learns the pseudonym of
-- an identity that they already know, from the function below, which belongs to a role of its own.
GRANT SELECT, DELETE ON lead_identities TO tallystick_api;
CREATE POLICY owner ON lead_identities TO tallystick_api USING (
    EXISTS (
        SELECT FROM surfaces s
        WHERE s.log_id = lead_identities.log_id AND s.surface = lead_identities.surface
            AND s.owner = (SELECT current_word())
    )
) WITH CHECK (false);
-- Orders are named, read and erased by the owner alone.
GRANT SELECT, INSERT, DELETE ON order_identities TO tallystick_api;
CREATE POLICY owner ON order_identities TO tallystick_api USING (
    EXISTS (
        SELECT FROM surfaces s
        WHERE s.log_id = order_identities.log_id AND s.surface = order_identities.surface
            AND s.owner = (SELECT current_word())
    )
);
GRANT SELECT ON surfaces TO tallystick_definer;
GRANT SELECT, INSERT, DELETE ON lead_identities TO tallystick_definer;
GRANT SELECT ON leads TO tallystick_definer;
CREATE POLICY finder ON leads FOR SELECT TO tallystick_definer USING (true);
CREATE POLICY assigner ON lead_identities TO tallystick_definer USING (true) WITH CHECK (true);

-- The pseudonyms of these identities on a surface. One that has none yet gets the fresh one offered, if
-- the surface's owner offers it and the log has it nowhere else; of all others it is drawn here. A lead has
-- one surface: who could choose the pseudonym of another's lead could have the log know it elsewhere first.
CREATE FUNCTION assign_pseudonyms(
    of_log bytea, on_surface bytea, external_ids text[], fresh bytea[]
) RETURNS TABLE (external_id text, lead bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    shown record;
    speaker bytea;
    may_report boolean;
    known text[] := '{}';
BEGIN
    SELECT k.account, k.scopes, k.surfaces INTO shown FROM key_presented AS k
        WHERE k.state = 'live' AND (k.surfaces IS NULL OR on_surface = ANY (k.surfaces));
    speaker := decode(repeat('0', 24) || substr(shown.account, 3), 'hex');
    may_report := 'owner:report' = ANY (shown.scopes);
    IF (may_report OR 'operator:touch' = ANY (shown.scopes)) IS NOT TRUE THEN
        RAISE EXCEPTION 'a pseudonym is given for a touch or an event, by a key that may make these'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF cardinality(external_ids) > 1000 THEN
        RAISE EXCEPTION 'at most 1000 pseudonyms are given at once'
            USING ERRCODE = 'program_limit_exceeded';
    END IF;
    -- The frequent case is that all are known. Of these nothing is written: it would wait for whoever
    -- removes one just now, and waits for us.
    FOR external_id, lead IN SELECT i.external_id, i.lead FROM lead_identities i
        WHERE i.log_id = of_log AND i.surface = on_surface AND i.external_id = ANY (external_ids)
    LOOP
        known := known || external_id;
        RETURN NEXT;
    END LOOP;
    IF cardinality(known) = cardinality(external_ids) THEN
        RETURN;
    END IF;
    INSERT INTO lead_identities (log_id, surface, external_id, lead)
        SELECT s.log_id, s.surface, offered.external_id,
            CASE WHEN may_report AND s.owner = speaker AND NOT EXISTS (
                SELECT FROM leads l
                WHERE l.log_id = of_log AND l.lead = offered.lead AND l.surface <> on_surface)
            THEN offered.lead
            ELSE sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) END
        FROM surfaces s, unnest(external_ids, fresh) AS offered (external_id, lead)
        WHERE s.log_id = of_log AND s.surface = on_surface AND offered.external_id <> ALL (known)
        ORDER BY offered.external_id
        ON CONFLICT (log_id, surface, external_id) DO NOTHING;
    RETURN QUERY SELECT i.external_id, i.lead::bytea FROM lead_identities i
        WHERE i.log_id = of_log AND i.surface = on_surface AND i.external_id = ANY (external_ids)
            AND i.external_id <> ALL (known);
END $$;

-- The inbox is filled by `take_requests` and `take_request` alone.
GRANT INSERT ON inbox TO tallystick_definer;
CREATE POLICY taker ON inbox FOR INSERT TO tallystick_definer WITH CHECK (true);
GRANT SELECT, INSERT ON requests TO tallystick_definer;
CREATE POLICY taker ON requests TO tallystick_definer USING (true) WITH CHECK (true);
GRANT SELECT ON results TO tallystick_definer;
CREATE POLICY taker ON results FOR SELECT TO tallystick_definer USING (true);
GRANT SELECT (log_id, commitment, salt), INSERT ON private_payloads TO tallystick_definer;
CREATE POLICY taker ON private_payloads FOR INSERT TO tallystick_definer WITH CHECK (true);
CREATE POLICY comparer ON private_payloads FOR SELECT TO tallystick_definer USING (true);
GRANT SELECT ON request_rights, logs TO tallystick_definer;
GRANT SELECT ON simulated_clock TO tallystick_registrar, tallystick_definer;

CREATE FUNCTION refuse_request(kind text, speaker text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a request "%" as it stands is not for % to make through % by this key',
        kind, coalesce(speaker, 'no account'), session_user USING ERRCODE = 'insufficient_privilege';
END $$;

-- Raises an error for the lead of a request that the log does not have yet, and that is given to an
-- identity of another surface: it would be registered where it does not belong. Another transaction may be
-- giving it just now. The first insertion waits for that one, and leaves nothing.
CREATE FUNCTION check_new_leads(of_log bytea, offered json) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    named record;
    probe CONSTANT text := gen_random_uuid();
BEGIN
    FOR named IN
        SELECT DISTINCT n.lead, n.surface
        FROM (SELECT decode(o.body ->> 'lead', 'hex') AS lead,
                decode(o.body ->> 'surface', 'hex') AS surface
            FROM json_to_recordset(offered) AS o (body json)) AS n
        WHERE n.lead IS NOT NULL AND n.surface IS NOT NULL
            AND NOT EXISTS (SELECT FROM lead_identities i
                WHERE i.log_id = of_log AND i.lead = n.lead AND i.surface = n.surface)
            AND NOT EXISTS (SELECT FROM leads l WHERE l.log_id = of_log AND l.lead = n.lead)
        ORDER BY n.lead
    LOOP
        INSERT INTO lead_identities VALUES (of_log, named.surface, probe, named.lead)
            ON CONFLICT DO NOTHING;
        DELETE FROM lead_identities i
            WHERE i.log_id = of_log AND i.surface = named.surface AND i.external_id = probe;
        IF EXISTS (SELECT FROM lead_identities i WHERE i.log_id = of_log
            AND i.lead = named.lead AND i.surface <> named.surface)
        THEN
            RAISE EXCEPTION 'lead % is one of another surface', encode(named.lead, 'hex')
                USING ERRCODE = 'insufficient_privilege';
        END IF;
    END LOOP;
END $$;

-- True if a request is for this account to make by this key: `r` is the right to its kind, NULL for none, and
-- the text of what the log is told goes as JSON, bytes in hex. (One expression, which becomes a part of what
-- asks it.)
CREATE FUNCTION is_rightful(
    r request_rights, body json, salt text, private text, speaker_hex text, key_hex text,
    key_scopes text[], key_surfaces bytea[], is_publisher boolean, is_surfaces_owner boolean
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN r.kind IS NOT NULL
    AND (r.scope IS NULL OR r.scope = ANY (key_scopes))
    AND (key_surfaces IS NULL OR body ->> 'surface' IS NULL
        OR decode(body ->> 'surface', 'hex') = ANY (key_surfaces))
    AND (NOT r.names_key OR body ->> 'key' = key_hex)
    -- What is kept apart is what the log is told that it is.
    AND (salt IS NULL OR body ->> 'commitment' = encode(
        sha256(decode(salt, 'hex') || decode(private, 'hex')), 'hex'))
    AND (r.actor IS NULL OR body ->> r.actor = speaker_hex)
    AND (NOT r.is_publishers OR is_publisher)
    AND (NOT r.is_surface_owners OR is_surfaces_owner);

-- A request's id from the hash of log, account and key: a UUID of version 8, as `core/world/codec.py` makes it.
CREATE FUNCTION id_of_digest(digest bytea) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN encode(set_byte(set_byte(substring(digest FOR 16),
    6, get_byte(digest, 6) & 15 | 128), 8, get_byte(digest, 8) & 63 | 128), 'hex')::uuid;

-- The turn that a request has which comes again after this one.
CREATE FUNCTION next_turn(last_turn integer, last_code text, retryable text[]) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN last_turn IS NULL THEN 1
    WHEN last_code = ANY (retryable) THEN last_turn + 1
    ELSE last_turn
END;

-- Takes requests: remembers and queues, in their order, those that are new, and those whose last turn
-- was refused by one of these codes. Returns of each its turn, and whether it has it by this.
--
-- Nothing but an idempotency key and what is asked comes from outside: the sender is the login
-- (`session_user`, which no login can change), the account is that of the API key that the transaction
-- presents or, for the worker alone, the one that it names, the receipt is the database's clock at this
-- statement, and the rest follows. A request that is not this login's to make, not this key's or not for
-- this account, is an error, and nothing is taken; nor is anything taken for which the account has no
-- place left (`take_places`, among the limits).
CREATE FUNCTION take_requests(of_log bytea, offered json, retryable text[])
RETURNS TABLE (request_id uuid, turn integer, is_fresh boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    speaker text;
    speaker_word bytea;
    speaker_hex text;
    is_publisher boolean;
    -- What the presented key may do, and where; the id by which the log knows a delegate.
    key_scopes text[];
    key_surfaces bytea[];
    key_hex text;
    now_ms CONSTANT bigint := clock_ms();
BEGIN
    IF session_user = 'tallystick_worker' THEN
        speaker := named_account();
    ELSE
        SELECT k.account, k.scopes, k.surfaces,
            CASE WHEN k.parent IS NULL THEN repeat('00', 32) ELSE encode(k.key, 'hex') END
        INTO speaker, key_scopes, key_surfaces, key_hex
        FROM key_presented AS k WHERE k.state = 'live';
    END IF;
    speaker_hex := repeat('0', 24) || substr(speaker, 3);
    speaker_word := decode(speaker_hex, 'hex');
    is_publisher := EXISTS (SELECT FROM logs l WHERE l.log_id = of_log AND l.publisher = speaker);
    IF json_array_length(offered) > 1000 THEN
        RAISE EXCEPTION 'at most 1000 requests are taken at once'
            USING ERRCODE = 'program_limit_exceeded';
    END IF;
    IF session_user <> 'tallystick_worker' THEN
        PERFORM check_new_leads(of_log, offered);
    END IF;
    RETURN QUERY
    WITH read AS MATERIALIZED (
        SELECT sha256(of_log || convert_to(speaker, 'UTF8') || '\x00'
                || convert_to(o.idempotency_key, 'UTF8')) AS digest,
            o.idempotency_key, o.body, decode(o.salt, 'hex') AS salt,
            decode(o.private, 'hex') AS private, decode(o.body_hash, 'hex') AS body_hash, o.place,
            CASE WHEN is_rightful(
                r, o.body, o.salt, o.private, speaker_hex, key_hex, key_scopes, key_surfaces,
                is_publisher, EXISTS (
                    SELECT FROM surface_names n
                    WHERE n.log_id = of_log AND n.surface = decode(o.body ->> 'surface', 'hex')
                        AND n.owner = speaker_word))
            THEN o.kind ELSE refuse_request(o.kind, speaker) END AS kind,
            r.is_surface_owners AS is_owners
        FROM ROWS FROM (
            json_to_recordset(offered) AS (
                idempotency_key text, kind text, body json, body_hash text, salt text, private text)
        ) WITH ORDINALITY AS o (idempotency_key, kind, body, body_hash, salt, private, place)
        LEFT JOIN request_rights r ON r.kind = o.kind AND r.sender = session_user
    ), given AS (
        SELECT id_of_digest(digest) AS request_id,
            idempotency_key, kind, body, salt, private, body_hash, place, is_owners
        FROM read
    ), numbered AS MATERIALIZED (
        SELECT given.*, next_turn(last.turn, last.code, retryable) AS turn
        FROM given LEFT JOIN LATERAL (
            SELECT r.turn, s.code
            FROM requests r LEFT JOIN results s ON s.log_id = r.log_id AND s.seq = r.seq
            WHERE r.log_id = of_log AND r.request_id = given.request_id
            ORDER BY r.turn DESC LIMIT 1
        ) AS last ON true
    ), fresh AS (
        INSERT INTO requests
            (log_id, request_id, turn, account, idempotency_key, kind, body_hash, received_ms)
        SELECT of_log, request_id, turn, speaker, idempotency_key, kind,
            CASE WHEN salt IS NULL THEN body_hash ELSE sha256(salt || private) END, now_ms
        FROM numbered ORDER BY place
        ON CONFLICT (log_id, request_id, turn) DO NOTHING
        RETURNING request_id, seq, body_hash
    ), taken AS MATERIALIZED (
        SELECT n.request_id, n.kind, n.body, n.salt, n.private, n.place, n.is_owners,
            fresh.seq, fresh.body_hash, decode(n.body ->> 'surface', 'hex') AS surface
        FROM numbered AS n JOIN fresh USING (request_id)
    ), lanes AS MATERIALIZED (
        SELECT places.surface, places.first_place, places.is_queued, places.turn
        FROM (
            SELECT array_agg(surface ORDER BY surface) AS surfaces,
                array_agg(requests ORDER BY surface) AS counts,
                sum(bytes)::bigint AS bytes, bool_and(are_owners) AS are_owners
            FROM (
                SELECT surface, count(*) AS requests, bool_and(is_owners) AS are_owners,
                    sum(octet_length(body::text) + coalesce(octet_length(private), 0)) AS bytes
                FROM taken GROUP BY surface
            ) AS by_surface
        ) AS t, take_places(of_log, speaker, t.surfaces, t.counts, t.bytes, t.are_owners) AS places
    ), queued AS (
        INSERT INTO inbox (log_id, seq, account, sender, kind, received_ms, body, rank)
        SELECT of_log, seq, speaker, session_user, kind, now_ms, body,
            (first_place + CASE WHEN is_queued THEN
                row_number() OVER (PARTITION BY surface ORDER BY place) - 1 ELSE 0 END) / turn
        FROM (
            SELECT taken.*, lanes.first_place, lanes.is_queued, lanes.turn
            FROM taken JOIN lanes ON lanes.surface IS NOT DISTINCT FROM taken.surface
        ) AS placed
    ), hidden AS (
        INSERT INTO private_payloads (log_id, commitment, surface, lead, account, salt, body)
        -- The surface's owner reads what is said of its leads, and nothing else of its operators.
        SELECT of_log, body_hash, CASE WHEN body ->> 'lead' IS NOT NULL THEN surface END,
            decode(body ->> 'lead', 'hex'), speaker, salt, private
        FROM taken WHERE salt IS NOT NULL
    )
    SELECT request_id, turn, fresh.seq IS NOT NULL FROM numbered LEFT JOIN fresh USING (request_id);
END $$;

-- Takes one request of the account of the key that the transaction presents, by the rules of
-- `take_requests`, and returns the same of it. One whose key came before with another body is an error: a
-- salted body is known by the salt of that turn, and once this is erased no body is the same. (Most requests
-- come one by one, and a query that is made for many takes long to begin.)
CREATE FUNCTION take_request(
    of_log bytea, offered json, retryable text[],
    OUT request_id uuid, OUT turn integer, OUT is_fresh boolean
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    now_ms CONSTANT bigint := clock_ms();
    shown record;
    o record;
    r request_rights;
    speaker_hex text;
    about bytea;
    named bytea;
    surfaces_owner bytea;
    is_publisher boolean := false;
    hidden bytea;
    hash bytea;
    last record;
    taken bigint;
    place record;
BEGIN
    SELECT k.account, k.scopes, k.surfaces,
        CASE WHEN k.parent IS NULL THEN repeat('00', 32) ELSE encode(k.key, 'hex') END AS key_hex
        INTO shown FROM key_presented AS k WHERE k.state = 'live';
    SELECT * INTO o FROM json_to_record(offered) AS (
        idempotency_key text, kind text, body json, body_hash text, salt text, private text);
    SELECT * INTO r FROM request_rights q WHERE q.kind = o.kind AND q.sender = session_user;
    speaker_hex := repeat('0', 24) || substr(shown.account, 3);
    about := decode(o.body ->> 'surface', 'hex');
    named := decode(o.body ->> 'lead', 'hex');
    IF r.is_surface_owners THEN
        SELECT n.owner INTO surfaces_owner FROM surface_names n
            WHERE n.log_id = of_log AND n.surface = about;
    END IF;
    -- Apart from what is asked next, which with a query in it would be planned at each call.
    IF r.is_publishers THEN
        is_publisher := EXISTS (
            SELECT FROM logs l WHERE l.log_id = of_log AND l.publisher = shown.account);
    END IF;
    IF is_rightful(
        r, o.body, o.salt, o.private, speaker_hex, shown.key_hex, shown.scopes, shown.surfaces,
        is_publisher, surfaces_owner = decode(speaker_hex, 'hex')) IS NOT TRUE
    THEN
        PERFORM refuse_request(o.kind, shown.account);
    END IF;
    IF named IS NOT NULL AND about IS NOT NULL AND NOT (
        EXISTS (SELECT FROM lead_identities i
            WHERE i.log_id = of_log AND i.lead = named AND i.surface = about)
        OR EXISTS (SELECT FROM leads l WHERE l.log_id = of_log AND l.lead = named))
    THEN
        PERFORM check_new_leads(of_log, json_build_array(offered));
    END IF;
    hash := sha256(of_log || convert_to(shown.account, 'UTF8') || '\x00'
        || convert_to(o.idempotency_key, 'UTF8'));
    request_id := id_of_digest(hash);
    SELECT q.turn, s.code INTO last
        FROM requests q LEFT JOIN results s ON s.log_id = q.log_id AND s.seq = q.seq
        WHERE q.log_id = of_log AND q.request_id = take_request.request_id
        ORDER BY q.turn DESC LIMIT 1;
    turn := next_turn(last.turn, last.code, retryable);
    hidden := decode(o.private, 'hex');
    hash := CASE WHEN o.salt IS NULL THEN decode(o.body_hash, 'hex')
        ELSE sha256(decode(o.salt, 'hex') || hidden) END;
    INSERT INTO requests
        (log_id, request_id, turn, account, idempotency_key, kind, body_hash, received_ms)
        VALUES (of_log, request_id, turn, shown.account, o.idempotency_key, o.kind, hash, now_ms)
        ON CONFLICT (log_id, request_id, turn) DO NOTHING RETURNING seq INTO taken;
    is_fresh := taken IS NOT NULL;
    IF turn > 1 OR NOT is_fresh THEN
        -- The insertion has waited for any other transaction that takes the same key.
        SELECT CASE WHEN o.salt IS NULL THEN q.body_hash = hash AND p.salt IS NULL
                ELSE q.body_hash = sha256(coalesce(p.salt, '') || hidden) END AS is_same INTO last
            FROM requests q LEFT JOIN private_payloads p
                ON p.log_id = q.log_id AND p.commitment = q.body_hash
            WHERE q.log_id = of_log AND q.request_id = take_request.request_id
                AND q.turn = take_request.turn - is_fresh::integer;
        IF last.is_same IS NOT TRUE THEN
            RAISE EXCEPTION 'this key came before with another body'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END IF;
    IF NOT is_fresh THEN
        RETURN;
    END IF;
    SELECT * INTO place FROM take_places(
        of_log, shown.account, ARRAY[about], ARRAY[1::bigint],
        octet_length(o.body::text) + coalesce(octet_length(hidden), 0), r.is_surface_owners);
    INSERT INTO inbox (log_id, seq, account, sender, kind, received_ms, body, rank)
        VALUES (of_log, taken, shown.account, session_user, o.kind, now_ms, o.body,
            place.first_place / place.turn);
    IF o.salt IS NOT NULL THEN
        -- The surface's owner reads what is said of its leads, and nothing else of its operators.
        INSERT INTO private_payloads (log_id, commitment, surface, lead, account, salt, body)
            VALUES (of_log, hash, CASE WHEN named IS NOT NULL THEN about END, named, shown.account,
                decode(o.salt, 'hex'), hidden);
    END IF;
END $$;

GRANT EXECUTE ON FUNCTION assign_pseudonyms TO tallystick_api;
GRANT EXECUTE ON FUNCTION is_rightful, id_of_digest, next_turn TO tallystick_definer;
GRANT EXECUTE ON FUNCTION take_request TO tallystick_api;
GRANT EXECUTE ON FUNCTION take_requests TO tallystick_worker, tallystick_api;
GRANT EXECUTE ON FUNCTION present, current_account, current_word, current_key, current_scopes,
    current_surfaces, key_may TO tallystick_api;
GRANT CREATE ON SCHEMA public TO tallystick_definer;
ALTER FUNCTION assign_pseudonyms OWNER TO tallystick_definer;
ALTER FUNCTION check_new_leads OWNER TO tallystick_definer;
ALTER FUNCTION take_request OWNER TO tallystick_definer;
ALTER FUNCTION take_requests OWNER TO tallystick_definer;
ALTER FUNCTION present OWNER TO tallystick_definer;
ALTER FUNCTION current_account OWNER TO tallystick_definer;
ALTER FUNCTION current_word OWNER TO tallystick_definer;
ALTER FUNCTION current_key OWNER TO tallystick_definer;
ALTER FUNCTION current_scopes OWNER TO tallystick_definer;
ALTER FUNCTION current_surfaces OWNER TO tallystick_definer;
ALTER FUNCTION key_may OWNER TO tallystick_definer;
REVOKE CREATE ON SCHEMA public FROM tallystick_definer;

GRANT SELECT, DELETE ON private_payloads TO tallystick_api;
GRANT SELECT ON private_payloads TO tallystick_worker;
-- A forecast is opened by the pipeline, and by it alone, once it can be scored. An account that has read another's
-- commitment in the log can name it too: of each operator only what it has sealed itself is opened.
CREATE POLICY forecasts ON private_payloads FOR SELECT TO tallystick_worker USING (
    EXISTS (
        SELECT FROM standings t
        WHERE t.log_id = private_payloads.log_id AND t.sealed = private_payloads.commitment
            AND '0x' || encode(substring(t.operator FROM 13), 'hex') = private_payloads.account
            AND t.scored_from_ms < (SELECT clock_ms())
    )
);
CREATE POLICY owner_or_sender ON private_payloads FOR SELECT TO tallystick_api USING (
    account = (SELECT current_account()) OR EXISTS (
        SELECT FROM surfaces s
        WHERE s.log_id = private_payloads.log_id AND s.surface = private_payloads.surface
            AND s.owner = (SELECT current_word())
    )
);
CREATE POLICY eraser ON private_payloads FOR DELETE TO tallystick_api USING (
    EXISTS (
        SELECT FROM surfaces s
        WHERE s.log_id = private_payloads.log_id AND s.surface = private_payloads.surface
            AND s.owner = (SELECT current_word())
    )
);

-- The rows that the definer's functions above look up.
GRANT SELECT ON api_keys, key_presented TO tallystick_definer;
CREATE POLICY lookup ON api_keys FOR SELECT TO tallystick_definer USING (true);

GRANT SELECT ON accounts TO tallystick_api;
CREATE POLICY self ON accounts FOR SELECT TO tallystick_api
    USING (account = (SELECT current_account()));

-- Nonces are given out by the API and used up by the registrar.
GRANT INSERT (nonce, expires_ms) ON signin_nonces TO tallystick_api;
CREATE POLICY giver ON signin_nonces FOR INSERT TO tallystick_api
    WITH CHECK (expires_ms <= (SELECT clock_ms()) + 86400000);
GRANT SELECT, DELETE ON signin_nonces TO tallystick_worker;
CREATE POLICY sweeper ON signin_nonces TO tallystick_worker USING (true) WITH CHECK (false);

-- A caller without a key is limited by its network address, which only the API knows.
GRANT SELECT ON rate_limits TO tallystick_api;
CREATE POLICY self ON rate_limits FOR SELECT TO tallystick_api
    USING (
        account = (SELECT current_account()) OR bucket IN ('sign-ins', 'reads', 'read-rows', 'replays'));

-- An operator proposes in its own name, to the owner of the surface. Then either the owner accepts or
-- declines, or the operator withdraws, once and for good. No login changes what was proposed.
GRANT SELECT,
    INSERT (
        log_id, contract_id, surface, operator, owner, terms, operator_signature, created_ms
    ),
    UPDATE (owner_signature, accepted_ms, declined_ms, withdrawn_ms)
    ON proposals TO tallystick_api;
CREATE POLICY party ON proposals FOR SELECT TO tallystick_api
    USING ((SELECT current_account()) IN (owner, operator));
CREATE POLICY proposer ON proposals FOR INSERT TO tallystick_api WITH CHECK (
    operator = (SELECT current_account()) AND EXISTS (
        SELECT FROM surfaces s
        WHERE s.log_id = proposals.log_id AND s.surface = proposals.surface
            AND s.owner = decode(repeat('0', 24) || substr(proposals.owner, 3), 'hex')
    )
);
CREATE POLICY decider ON proposals FOR UPDATE TO tallystick_api
    USING (
        owner = (SELECT current_account()) AND key_may('owner:review', surface)
        AND num_nonnulls(accepted_ms, declined_ms, withdrawn_ms) = 0
    )
    WITH CHECK (owner = (SELECT current_account()) AND withdrawn_ms IS NULL);
CREATE POLICY withdrawer ON proposals FOR UPDATE TO tallystick_api
    USING (
        operator = (SELECT current_account()) AND key_may('operator:propose', surface)
        AND num_nonnulls(accepted_ms, declined_ms, withdrawn_ms) = 0
    )
    WITH CHECK (
        operator = (SELECT current_account()) AND num_nonnulls(accepted_ms, declined_ms) = 0);
GRANT SELECT ON proposals TO tallystick_worker;
CREATE POLICY worker ON proposals FOR SELECT TO tallystick_worker USING (true);
