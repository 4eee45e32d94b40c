-- Limits and fairness: the numbers that the database itself holds requests to; the requests that wait
-- and the bytes that are kept, by account; the rank by which surfaces take turns; and the
-- openings that are put off.
--
-- The login that takes requests counts what is taken, the sequencer what is decided; neither waits for the other.

-- The deployment's own numbers: one row, which `tallystick migrate` writes and no login changes. Without
-- it no request is taken. Of operators' requests fewer may wait than of all; an account has one part in
-- `share` of what is free. A request is kept for ever, by `bytes_of_row` and what it says: so many bytes
-- of an account, and of all. A surface's turn is `turn_requests` long. `table_bytes` are the most of one
-- table that accounts fill in other ways; the rest is what an account has of leases, messages, memory and webhooks.
CREATE TABLE inbox_limits (
    is_set boolean PRIMARY KEY DEFAULT true CHECK (is_set),
    waiting_requests bigint NOT NULL CHECK (waiting_requests > 0),
    waiting_of_operators bigint NOT NULL CHECK (waiting_of_operators BETWEEN 0 AND waiting_requests),
    share bigint NOT NULL CHECK (share > 0),
    stored_bytes bigint NOT NULL CHECK (stored_bytes > 0),
    all_stored_bytes bigint NOT NULL CHECK (all_stored_bytes > 0),
    bytes_of_row bigint NOT NULL CHECK (bytes_of_row > 0),
    turn_requests bigint NOT NULL CHECK (turn_requests > 0),
    table_bytes bigint NOT NULL CHECK (table_bytes > 0),
    leases bigint NOT NULL CHECK (leases > 0),
    messages bigint NOT NULL CHECK (messages > 0),
    memories_bytes bigint NOT NULL CHECK (memories_bytes > 0),
    webhooks bigint NOT NULL CHECK (webhooks > 0)
);
GRANT SELECT ON inbox_limits TO tallystick_worker, tallystick_api, tallystick_definer;

-- Of one account: the requests that were ever taken, and the bytes kept of it for ever. It has 32 rows,
-- one for each of a few connections, so that two surfaces of one account do not wait for one another's
-- transactions to count; and so do all accounts together.
CREATE TABLE account_requests (
    log_id word NOT NULL,
    account address NOT NULL,
    shard smallint NOT NULL,
    requests bigint NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (log_id, account, shard)
) WITH (fillfactor = 50);

-- Of all accounts.
CREATE TABLE log_requests (
    log_id word NOT NULL,
    shard smallint NOT NULL,
    requests bigint NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (log_id, shard)
) WITH (fillfactor = 50);

-- Of one account, the requests that were decided.
CREATE TABLE account_decisions (
    log_id word NOT NULL,
    account address NOT NULL,
    requests bigint NOT NULL,
    PRIMARY KEY (log_id, account)
) WITH (fillfactor = 50);

-- Of all accounts; and the rank that a request has at least which is taken now.
CREATE TABLE log_decisions (
    log_id word PRIMARY KEY,
    requests bigint NOT NULL,
    rank bigint NOT NULL
) WITH (fillfactor = 50);

-- Of one surface, the place behind its last request. Places over the length of a turn are ranks. The
-- lane of the zero word is that of what accounts ask about no surface that has a name.
CREATE TABLE inbox_lanes (
    log_id word NOT NULL,
    surface word NOT NULL,
    next_place bigint NOT NULL,
    PRIMARY KEY (log_id, surface)
) WITH (fillfactor = 50);

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY[
        'account_requests', 'log_requests', 'account_decisions', 'log_decisions', 'inbox_lanes'
    ]
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE ON account_requests, log_requests, inbox_lanes TO tallystick_definer;
CREATE POLICY counter ON account_requests TO tallystick_definer USING (true) WITH CHECK (true);
CREATE POLICY counter ON log_requests TO tallystick_definer USING (true) WITH CHECK (true);
CREATE POLICY counter ON inbox_lanes TO tallystick_definer USING (true) WITH CHECK (true);
GRANT SELECT ON account_decisions, log_decisions TO tallystick_definer;
CREATE POLICY counter ON account_decisions FOR SELECT TO tallystick_definer USING (true);
CREATE POLICY counter ON log_decisions FOR SELECT TO tallystick_definer USING (true);

GRANT SELECT, INSERT, UPDATE ON account_decisions, log_decisions TO tallystick_sequencer;
CREATE POLICY writer ON account_decisions TO tallystick_sequencer USING (true) WITH CHECK (true);
CREATE POLICY writer ON log_decisions TO tallystick_sequencer USING (true) WITH CHECK (true);

-- The requests that wait, of all and of an account; the most that may wait of it, which is its share of what is free;
-- the bytes that are kept of it and of all, and the most of each; what a row counts besides what it says; the
-- rank that is served, and how long a turn is. Of all, it reads what is committed: accounts that count at one
-- time may each find the same places free.
-- (In plpgsql, whose plans are kept: a function in SQL that is not inlined is planned at each call.)
CREATE FUNCTION room_of(
    of_log bytea, of_account text, are_owners boolean,
    OUT waiting bigint, OUT own bigint, OUT most bigint, OUT bytes bigint, OUT most_bytes bigint,
    OUT all_bytes bigint, OUT most_of_all bigint, OUT row_bytes bigint, OUT rank bigint,
    OUT turn_requests bigint
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    places bigint;
    share bigint;
BEGIN
    SELECT CASE WHEN are_owners THEN h.waiting_requests ELSE h.waiting_of_operators END, h.share,
            h.stored_bytes, h.all_stored_bytes, h.bytes_of_row, h.turn_requests,
            coalesce(taken.requests, 0) - coalesce(decided.requests, 0), coalesce(taken.bytes, 0),
            coalesce(sent.requests, 0) - coalesce(answered.requests, 0), coalesce(sent.bytes, 0),
            coalesce(decided.rank, 0)
        INTO STRICT places, share, most_bytes, most_of_all, row_bytes, turn_requests,
            waiting, all_bytes, own, bytes, rank
        FROM inbox_limits h
        CROSS JOIN (
            SELECT sum(t.requests)::bigint AS requests, sum(t.bytes)::bigint AS bytes
            FROM log_requests t WHERE t.log_id = of_log
        ) AS taken
        CROSS JOIN (
            SELECT sum(t.requests)::bigint AS requests, sum(t.bytes)::bigint AS bytes
            FROM account_requests t WHERE t.log_id = of_log AND t.account = of_account
        ) AS sent
        LEFT JOIN log_decisions decided ON decided.log_id = of_log
        LEFT JOIN account_decisions answered
            ON answered.log_id = of_log AND answered.account = of_account;
    most := greatest(0, places - waiting) / share;
END $$;

-- Takes these locks in their order, which the transaction keeps, and returns true; one that does not wait
-- returns false at the first that another has.
CREATE FUNCTION take_locks(locks bigint[], may_wait boolean) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    lock_key bigint;
BEGIN
    IF cardinality(locks) > 1 THEN
        locks := ARRAY(SELECT k FROM unnest(locks) AS k ORDER BY k);
    END IF;
    FOREACH lock_key IN ARRAY locks LOOP
        IF may_wait THEN
            PERFORM pg_advisory_xact_lock(lock_key);
        ELSIF NOT pg_try_advisory_xact_lock(lock_key) THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END $$;

-- Waits for these locks, and returns the database's clock before, and what room there is for the account
-- that the transaction speaks for: for who is about to send requests.
CREATE FUNCTION enter_inbox(
    of_log bytea, locks bigint[], are_owners boolean,
    OUT now_ms bigint, OUT waiting bigint, OUT own bigint, OUT most bigint, OUT bytes bigint,
    OUT most_bytes bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM take_locks(locks, true);
    now_ms := clock_ms();
    SELECT r.waiting, r.own, r.most, r.bytes, r.most_bytes INTO waiting, own, most, bytes, most_bytes
        FROM room_of(of_log, current_account(), are_owners) AS r;
END $$;

-- Begins a transaction that is about to send requests, in one statement: its limits, the secret of a key,
-- and if that is live what `enter_inbox` does; what is known of the key, and what that returns. It waits for
-- one lock alone: who waits with others in hand, which need not even be of its own surfaces, holds up all who
-- want those. If one of several is not free there is no time, and the transaction must not go on.
CREATE FUNCTION begin_entering(
    secret bytea, durability text, of_log bytea, locks bigint[], are_owners boolean
) RETURNS TABLE (
    account text, key bytea, name text, parent bytea, scopes text[], surfaces bytea[],
    expires_ms bigint, state text, now_ms bigint, waiting bigint, own bigint, most bigint,
    bytes bigint, most_bytes bigint
)
LANGUAGE plpgsql SECURITY DEFINER ROWS 1 SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    for_disk CONSTANT text := CASE durability
        WHEN 'off' THEN set_config('synchronous_commit', 'off', true) END;
    of_statement CONSTANT text := set_config('statement_timeout', '60s', true);
    of_lock CONSTANT text := set_config('lock_timeout', '10s', true);
    of_silence CONSTANT text := set_config('idle_in_transaction_session_timeout', '60s', true);
    shown CONSTANT text := set_config('tallystick.presented', encode(secret, 'hex'), true);
    room record;
BEGIN
    SELECT * INTO account, key, name, parent, scopes, surfaces, expires_ms, state FROM key_presented;
    IF state = 'live' AND take_locks(locks, cardinality(locks) <= 1) THEN
        now_ms := clock_ms();
        room := room_of(of_log, account, are_owners);
        waiting := room.waiting;
        own := room.own;
        most := room.most;
        bytes := room.bytes;
        most_bytes := room.most_bytes;
    END IF;
    RETURN NEXT;
END $$;

-- Counts requests that `take_requests` has just taken from an account, so many about each of these
-- surfaces, and returns for each the place of the first. What would have more waiting, or stored, than
-- the account may is an error. The log's own requests, of the worker, are counted and never refused:
-- there are few, and they are what pays. Whoever takes requests holds the surfaces' locks.
--
-- An account does not pass its share by many transactions at a time. While it has little of it, they go
-- side by side: no more than 32, for they share its rows, each with a 64th of the share at most, and
-- together beside no more than half of it. With more they go one after the other, and each counts what
-- the one before it took.
--
-- The places of a surface go up, from those that are served now or from its last one: so it never
-- overtakes itself, and one that was quiet comes before the further turns of one that floods.
-- The log's own requests about no surface have the places that are served now, in the order of their
-- receipt; what accounts ask about none shares one lane.
CREATE FUNCTION take_places(
    of_log bytea, of_account text, surfaces bytea[], counts bigint[], said_bytes bigint,
    are_owners boolean
) RETURNS TABLE (surface bytea, first_place bigint, is_queued boolean, turn bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    room record;
    taken bigint := 0;
    taken_bytes bigint;
    has_little boolean;
    lock_key bigint := hashtextextended(encode(of_log, 'hex') || of_account, 7);
    is_worker boolean := session_user = 'tallystick_worker';
    served bigint;
    own_shard smallint := pg_backend_pid() % 32;
    one bigint;
    lane bytea;
BEGIN
    FOREACH one IN ARRAY coalesce(counts, '{}') LOOP
        taken := taken + one;
    END LOOP;
    IF taken = 0 THEN
        RETURN;
    END IF;
    -- A transaction that sees an old state of the database would count what waited then.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'requests are taken in a transaction that reads what is committed'
            USING ERRCODE = 'feature_not_supported';
    END IF;
    room := room_of(of_log, of_account, are_owners);
    taken_bytes := said_bytes + taken * room.row_bytes;
    IF NOT is_worker THEN
        has_little := room.own + taken <= room.most / 64
            AND taken_bytes <= room.most_bytes / 64 AND room.bytes <= room.most_bytes / 4;
        IF has_little THEN
            PERFORM pg_advisory_xact_lock_shared(lock_key);
        ELSE
            PERFORM pg_advisory_xact_lock(lock_key);
        END IF;
    END IF;
    INSERT INTO account_requests AS t VALUES (of_log, of_account, own_shard, taken, taken_bytes)
        ON CONFLICT (log_id, account, shard) DO UPDATE
        SET requests = t.requests + excluded.requests, bytes = t.bytes + excluded.bytes;
    IF NOT is_worker THEN
        -- Again, behind the lock and this row: what others have committed meanwhile counts.
        room := room_of(of_log, of_account, are_owners);
        IF (room.own <= CASE WHEN has_little THEN room.most / 2 ELSE room.most END) IS NOT TRUE THEN
            RAISE EXCEPTION '% requests of % wait then, and % may', room.own, of_account, room.most
                USING ERRCODE = 'configuration_limit_exceeded';
        END IF;
        IF (room.bytes <= CASE WHEN has_little THEN room.most_bytes / 2 ELSE room.most_bytes END)
            IS NOT TRUE
        THEN
            RAISE EXCEPTION '% bytes are kept of % then, and % may be',
                room.bytes, of_account, room.most_bytes USING ERRCODE = 'program_limit_exceeded';
        END IF;
        IF (room.all_bytes + taken_bytes <= room.most_of_all) IS NOT TRUE THEN
            RAISE EXCEPTION '% bytes are kept of all accounts, and % may be',
                room.all_bytes, room.most_of_all USING ERRCODE = 'disk_full';
        END IF;
    END IF;
    INSERT INTO log_requests AS t VALUES (of_log, own_shard, taken, taken_bytes)
        ON CONFLICT (log_id, shard) DO UPDATE
        SET requests = t.requests + excluded.requests, bytes = t.bytes + excluded.bytes;
    turn := room.turn_requests;
    served := turn * room.rank;
    FOR i IN 1 .. cardinality(surfaces) LOOP
        surface := surfaces[i];
        one := counts[i];
        first_place := served;
        lane := coalesce(
            (SELECT n.surface FROM surface_names n WHERE n.log_id = of_log AND n.surface = surfaces[i]),
            CASE WHEN NOT is_worker THEN decode(repeat('00', 32), 'hex') END);
        is_queued := lane IS NOT NULL;
        IF is_queued THEN
            INSERT INTO inbox_lanes AS l VALUES (of_log, lane, served + one)
                ON CONFLICT (log_id, surface) DO UPDATE
                SET next_place = greatest(l.next_place, served) + one
                RETURNING next_place - one INTO first_place;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

GRANT EXECUTE ON FUNCTION take_locks TO tallystick_definer;
GRANT EXECUTE ON FUNCTION enter_inbox TO tallystick_worker, tallystick_api;
GRANT EXECUTE ON FUNCTION begin_entering TO tallystick_api;
GRANT CREATE ON SCHEMA public TO tallystick_definer;
ALTER FUNCTION room_of OWNER TO tallystick_definer;
ALTER FUNCTION begin_entering OWNER TO tallystick_definer;
ALTER FUNCTION enter_inbox OWNER TO tallystick_definer;
ALTER FUNCTION take_places OWNER TO tallystick_definer;
REVOKE CREATE ON SCHEMA public FROM tallystick_definer;

-- Proposals that an owner can still accept, by the operator who may have only so many.
CREATE INDEX proposals_open ON proposals (log_id, operator, ((terms ->> 'opens_at_s')::bigint))
    WHERE accepted_ms IS NULL AND declined_ms IS NULL AND withdrawn_ms IS NULL;
