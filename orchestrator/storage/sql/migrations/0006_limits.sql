-- What limits and fairness need: how many requests wait and how many bytes are kept, by account; the
-- rank by which surfaces take turns; and the openings that are put off.
--
-- Counts are kept in many rows, one for each of a few connections, so that two accounts, or two
-- surfaces of one account, never wait for one another's transactions to count. Who submits counts what
-- is taken, the sequencer what is decided; neither waits for the other.

-- Of one account: the requests that were ever taken, and the bytes kept of it for ever.
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

-- Of one surface, the place behind its last request. Places over the length of a turn are ranks.
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

-- What waits, of all and of the account that the transaction speaks for, and the bytes kept of that.
-- It reads what is committed, so those who count at one time may each find the same places.
-- (In plpgsql, whose plans are kept: a function in SQL that is not inlined is planned at each call.)
CREATE FUNCTION inbox_counts(of_log bytea, OUT waiting bigint, OUT own bigint, OUT bytes bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    SELECT coalesce(sum(t.requests), 0) INTO waiting FROM log_requests t WHERE t.log_id = of_log;
    waiting := waiting - coalesce(
        (SELECT d.requests FROM log_decisions d WHERE d.log_id = of_log), 0);
    SELECT coalesce(sum(t.requests), 0), coalesce(sum(t.bytes), 0) INTO own, bytes
        FROM account_requests t WHERE t.log_id = of_log AND t.account = current_account();
    own := own - coalesce((SELECT d.requests FROM account_decisions d
        WHERE d.log_id = of_log AND d.account = current_account()), 0);
END $$;

-- Counts requests that the account has just put into the inbox, about one surface or about none, and
-- returns the place of the first. Whoever calls it holds the surface's lock.
--
-- The places of a surface go up, from those that are served now or from its last one: so it never
-- overtakes itself, and one that was quiet comes before the further turns of one that floods.
-- Requests of no surface have the places that are served now, in the order of their receipt.
CREATE FUNCTION take_places(
    of_log bytea, on_surface bytea, requests bigint, bytes bigint, turn bigint
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    own_shard smallint := pg_backend_pid() % 32;
    served bigint;
    first_place bigint;
BEGIN
    INSERT INTO account_requests AS t
        VALUES (of_log, current_account(), own_shard, take_places.requests, take_places.bytes)
        ON CONFLICT (log_id, account, shard) DO UPDATE
        SET requests = t.requests + excluded.requests, bytes = t.bytes + excluded.bytes;
    INSERT INTO log_requests AS t VALUES (of_log, own_shard, take_places.requests)
        ON CONFLICT (log_id, shard) DO UPDATE SET requests = t.requests + excluded.requests;
    served := coalesce((SELECT d.rank FROM log_decisions d WHERE d.log_id = of_log), 0) * turn;
    IF on_surface IS NULL THEN
        RETURN served;
    END IF;
    INSERT INTO inbox_lanes AS l VALUES (of_log, on_surface, served + take_places.requests)
        ON CONFLICT (log_id, surface) DO UPDATE
        SET next_place = greatest(l.next_place, served) + take_places.requests
        RETURNING next_place - take_places.requests INTO first_place;
    RETURN first_place;
END $$;

GRANT CREATE ON SCHEMA public TO tallystick_definer;
ALTER FUNCTION inbox_counts OWNER TO tallystick_definer;
ALTER FUNCTION take_places OWNER TO tallystick_definer;
REVOKE CREATE ON SCHEMA public FROM tallystick_definer;
REVOKE ALL ON FUNCTION inbox_counts, take_places FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inbox_counts, take_places TO tallystick_worker, tallystick_api;

-- Proposals that an owner can still accept, by the operator who may have only so many.
CREATE INDEX proposals_open ON proposals (log_id, operator, ((terms ->> 'opens_at_s')::bigint))
    WHERE accepted_ms IS NULL AND declined_ms IS NULL;

-- Contracts that both parties have signed and that we do not open for now, or never: `waits_for` names
-- the limit, `until_ms` says when to look again. Public: it names what is signed, and no account.
CREATE TABLE deferred_openings (
    log_id word NOT NULL,
    contract_id word NOT NULL,
    waits_for text NOT NULL,
    until_ms bigint NOT NULL,
    PRIMARY KEY (log_id, contract_id)
);
GRANT SELECT ON deferred_openings TO tallystick_worker, tallystick_api;
GRANT INSERT, UPDATE, DELETE ON deferred_openings TO tallystick_worker;

-- The pipeline counts the openings that it pays, of each owner and of all.
GRANT INSERT, UPDATE ON rate_limits TO tallystick_worker;
CREATE POLICY opener ON rate_limits TO tallystick_worker
    USING (bucket IN ('openings', 'openings-of-all'))
    WITH CHECK (bucket IN ('openings', 'openings-of-all'));
