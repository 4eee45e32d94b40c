-- Admission: the key of a request is looked up and its account charged by one statement, which is a
-- transaction of its own. So a charge stands whatever becomes of the request, no row of an allowance is
-- held while the request waits for anything, and it costs one round trip.

-- Takes from allowances of an account, each that has enough: returns of each whether it was taken from,
-- and when it is full again, in microseconds from now (GCRA, by the server's clock). One after the other
-- in the order of their names, as all transactions do.
CREATE FUNCTION spend_allowances(
    of_account text, buckets text[], costs_us bigint[], windows_us bigint[]
) RETURNS TABLE (bucket text, is_spent boolean, full_in_us bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    now_us CONSTANT bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
    cost_us bigint;
    window_us bigint;
    full_us bigint;
BEGIN
    FOR i IN 1 .. cardinality(buckets) LOOP
        IF i > 1 AND buckets[i] COLLATE "C" <= buckets[i - 1] THEN
            RAISE EXCEPTION 'allowances are named in their order, each once'
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        cost_us := costs_us[i];
        window_us := windows_us[i];
        full_us := NULL;
        -- One that is full again in more than a day would not be swept for as long.
        IF cost_us <= window_us AND window_us <= 86400000000 THEN
            INSERT INTO rate_limits AS r (account, bucket, full_at_us)
            VALUES (of_account, buckets[i], now_us + cost_us)
            ON CONFLICT (account, bucket) DO UPDATE
            SET full_at_us = greatest(r.full_at_us, now_us) + cost_us
            WHERE greatest(r.full_at_us, now_us) - now_us + cost_us <= window_us
            RETURNING full_at_us INTO full_us;
        END IF;
        is_spent := full_us IS NOT NULL;
        IF NOT is_spent THEN
            SELECT r.full_at_us INTO full_us FROM rate_limits r
            WHERE r.account = of_account AND r.bucket = buckets[i];
        END IF;
        bucket := buckets[i];
        full_in_us := greatest(0, coalesce(full_us - now_us, window_us));
        RETURN NEXT;
    END LOOP;
END $$;

-- The same for who calls, who writes no allowance by itself: the API takes from those of the account that
-- it speaks for, and of networks; the pipeline from those of the openings that it pays.
CREATE FUNCTION spend_for_caller(
    of_account text, buckets text[], costs_us bigint[], windows_us bigint[]
) RETURNS TABLE (bucket text, is_spent boolean, full_in_us bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF (CASE WHEN session_user = 'tallystick_worker'
        THEN buckets <@ ARRAY['openings', 'openings-of-all']
        ELSE buckets <@ ARRAY['sign-ins', 'reads', 'read-rows', 'replays']
            OR of_account = current_account() END) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'these allowances are not for % to spend', session_user
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN QUERY SELECT * FROM spend_allowances(of_account, buckets, costs_us, windows_us);
END $$;

-- Presents the secret of a key and, if it is live, charges its account. Where the request is about a
-- surface and the key has one of these scopes, `costs_us` has as many further costs for each level of
-- trust from 0 on, and those of the account's own level there count; `place` says which did. Costs that are
-- undivided are charged all or not at all: if an allowance has not enough, none is named.
-- (It charges the account of the key that it was shown, and no other, with the rights of its owner: so
-- no policy has to look the key up again for each row.)
CREATE FUNCTION admit(
    secret bytea, of_log bytea, on_surface bytea, of_scopes text[],
    buckets text[], costs_us bigint[], windows_us bigint[], undivided boolean
) RETURNS TABLE (
    account text, key bytea, name text, parent bytea, scopes text[], surfaces bytea[],
    expires_ms bigint, state text, place integer, bucket text, is_spent boolean, full_in_us bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    n CONSTANT integer := cardinality(buckets);
    charged text[];
    full_in bigint[];
    -- To lose the charge in a crash costs nothing, so it does not wait for the disk.
    durability CONSTANT text := set_config('synchronous_commit', 'off', true);
    patience CONSTANT text := set_config('lock_timeout', '10s', true);
    shown CONSTANT text := set_config('tallystick.presented', encode(secret, 'hex'), true);
BEGIN
    place := 0;
    SELECT * INTO account, key, name, parent, scopes, surfaces, expires_ms, state FROM key_presented;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF state <> 'live' THEN
        RETURN NEXT;
        RETURN;
    END IF;
    IF on_surface IS NOT NULL AND of_scopes && scopes THEN
        place := 1 + coalesce((
            SELECT s.level FROM standings s
            WHERE s.log_id = of_log AND s.surface = on_surface AND NOT s.is_suspended
                AND s.operator = decode(repeat('0', 24) || substr(account, 3), 'hex')), 0);
    END IF;
    costs_us := costs_us[place * n + 1:(place + 1) * n];
    IF NOT undivided THEN
        FOR bucket, is_spent, full_in_us IN
            SELECT s.* FROM spend_allowances(account, buckets, costs_us, windows_us) AS s
        LOOP
            RETURN NEXT;
        END LOOP;
        RETURN;
    END IF;
    -- What is raised is caught, and so undoes the charge without a line in the server's log.
    BEGIN
        SELECT array_agg(s.bucket), array_agg(s.full_in_us) INTO charged, full_in
            FROM spend_allowances(account, buckets, costs_us, windows_us) AS s WHERE s.is_spent;
        IF cardinality(charged) IS DISTINCT FROM n THEN
            RAISE SQLSTATE '53400';
        END IF;
    EXCEPTION WHEN SQLSTATE '53400' THEN
        charged := '{}';
    END;
    IF charged = '{}' THEN
        RETURN NEXT;
    END IF;
    FOR i IN 1 .. cardinality(charged) LOOP
        bucket := charged[i];
        is_spent := true;
        full_in_us := full_in[i];
        RETURN NEXT;
    END LOOP;
END $$;

GRANT EXECUTE ON FUNCTION spend_allowances TO tallystick_definer;
GRANT EXECUTE ON FUNCTION spend_for_caller TO tallystick_api, tallystick_worker;
GRANT EXECUTE ON FUNCTION admit TO tallystick_api;
GRANT SELECT, INSERT, UPDATE ON rate_limits TO tallystick_definer;
CREATE POLICY charger ON rate_limits TO tallystick_definer USING (true) WITH CHECK (true);
GRANT SELECT ON standings TO tallystick_definer;
GRANT CREATE ON SCHEMA public TO tallystick_definer;
ALTER FUNCTION admit OWNER TO tallystick_definer;
ALTER FUNCTION spend_for_caller OWNER TO tallystick_definer;
REVOKE CREATE ON SCHEMA public FROM tallystick_definer;
