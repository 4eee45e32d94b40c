-- Codes: what the log says of them, and, kept apart, the codes themselves.

-- Public: projections of the log. A code by its random id, and each click of a lead by it. Both say what
-- entries say. `position` is the issue's; of the uses so many `brought` a lead that was new, so many were
-- `repeats`, and `peak` is the most in a minute.
CREATE TABLE codes (
    log_id word NOT NULL,
    code word NOT NULL,
    surface word NOT NULL,
    operator word NOT NULL,
    position bigint NOT NULL CHECK (position > 0),
    since_ms bigint NOT NULL,
    until_ms bigint NOT NULL,
    most_uses bigint NOT NULL,
    is_ended boolean NOT NULL,
    uses bigint NOT NULL CHECK (uses BETWEEN 0 AND most_uses),
    brought bigint NOT NULL,
    repeats bigint NOT NULL,
    minute bigint NOT NULL,
    in_minute bigint NOT NULL,
    peak bigint NOT NULL,
    PRIMARY KEY (log_id, code)
);
CREATE INDEX codes_by_surface ON codes (log_id, surface, position);
CREATE INDEX codes_by_operator ON codes (log_id, surface, operator, position);

CREATE TABLE clicks (
    log_id word NOT NULL,
    code word NOT NULL,
    position bigint NOT NULL,
    lead word NOT NULL,
    time_ms bigint NOT NULL,
    is_new_lead boolean NOT NULL,
    PRIMARY KEY (log_id, code, position)
);
CALL only_grows('clicks');
GRANT SELECT ON codes, clicks TO tallystick_sequencer, tallystick_worker, tallystick_api;
GRANT INSERT, UPDATE ON codes TO tallystick_sequencer;
GRANT INSERT ON clicks TO tallystick_sequencer;

-- Tenant: a code itself by its random id, as the operator hands it out. `request_id` is the request that
-- it was made for, so that the same request has the same code. `waiting_lead` is the pseudonym of the
-- lead that came with nothing but the code, until the owner's product has an id of its own for it.
CREATE TABLE code_names (
    log_id word NOT NULL,
    code word NOT NULL,
    surface word NOT NULL,
    account address NOT NULL,
    name text NOT NULL CHECK (name ~ '^[0-9a-f]{32}$'),
    request_id uuid NOT NULL,
    waiting_lead word,
    PRIMARY KEY (log_id, code),
    UNIQUE (log_id, surface, name),
    UNIQUE (log_id, request_id)
);
ALTER TABLE code_names ENABLE ROW LEVEL SECURITY;
ALTER TABLE code_names FORCE ROW LEVEL SECURITY;

-- The operator reads its own codes; who waits by them, the owner's events alone decide.
GRANT SELECT,
    INSERT (log_id, code, surface, account, name, request_id)
    ON code_names TO tallystick_api;
CREATE POLICY operator ON code_names FOR SELECT TO tallystick_api
    USING (account = (SELECT current_account()));
CREATE POLICY issuer ON code_names FOR INSERT TO tallystick_api
    WITH CHECK (
        account = (SELECT current_account()) AND key_may('operator:issue', surface)
        -- For a request that the log was asked for, which has its price.
        AND EXISTS (
            SELECT FROM requests r
            WHERE r.log_id = code_names.log_id AND r.request_id = code_names.request_id
                AND r.kind = 'issue_code'));
GRANT SELECT, UPDATE (waiting_lead) ON code_names TO tallystick_definer;
CREATE POLICY binder ON code_names TO tallystick_definer USING (true) WITH CHECK (true);
CREATE POLICY within_surfaces ON code_names AS RESTRICTIVE TO tallystick_api USING (
    (SELECT current_surfaces()) IS NULL OR surface = ANY ((SELECT current_surfaces())::bytea[]));

-- Raises an error unless the key may report what happens to leads of this surface of its account.
CREATE FUNCTION check_reporter(of_log bytea, on_surface bytea, scope text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT (key_may(scope, on_surface) AND EXISTS (
        SELECT FROM surfaces s WHERE s.log_id = of_log AND s.surface = on_surface
            AND s.owner = current_word()))
    THEN
        RAISE EXCEPTION 'the codes of a surface are bound by its owner, by a key that may report'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END $$;

-- The random ids of those of these codes that a surface has, and the leads that wait by them.
CREATE FUNCTION codes_named(of_log bytea, on_surface bytea, names text[])
RETURNS TABLE (name text, code bytea, waiting_lead bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM check_reporter(of_log, on_surface, 'owner:report');
    RETURN QUERY SELECT c.name, c.code::bytea, c.waiting_lead::bytea FROM code_names c
        WHERE c.log_id = of_log AND c.surface = on_surface AND c.name = ANY (names);
END $$;

-- Says which lead waits by each of these codes from now on, NULL for none.
CREATE FUNCTION let_wait(of_log bytea, on_surface bytea, codes bytea[], leads bytea[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM check_reporter(of_log, on_surface, 'owner:report');
    UPDATE code_names c SET waiting_lead = given.lead
        FROM unnest(codes, leads) AS given (code, lead)
        WHERE c.log_id = of_log AND c.surface = on_surface AND c.code = given.code;
END $$;

-- The lead that waits by a code, for the owner who has it erased; it waits no more.
CREATE FUNCTION forget_waiting(of_log bytea, on_surface bytea, code_name text) RETURNS bytea
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    found bytea;
BEGIN
    PERFORM check_reporter(of_log, on_surface, 'owner:erase');
    SELECT c.waiting_lead INTO found FROM code_names c
        WHERE c.log_id = of_log AND c.surface = on_surface AND c.name = code_name FOR UPDATE;
    UPDATE code_names c SET waiting_lead = NULL
        WHERE c.log_id = of_log AND c.surface = on_surface AND c.name = code_name;
    RETURN found;
END $$;

GRANT EXECUTE ON FUNCTION codes_named, let_wait, forget_waiting TO tallystick_api;
GRANT CREATE ON SCHEMA public TO tallystick_definer;
ALTER FUNCTION check_reporter OWNER TO tallystick_definer;
ALTER FUNCTION codes_named OWNER TO tallystick_definer;
ALTER FUNCTION let_wait OWNER TO tallystick_definer;
ALTER FUNCTION forget_waiting OWNER TO tallystick_definer;
REVOKE CREATE ON SCHEMA public FROM tallystick_definer;
