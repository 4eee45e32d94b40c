-- Bounds of all that accounts make grow beside the log, whoever has the API's password: so many rows of
-- an account where there is a number, and so many bytes of each table, since accounts are free. What has
-- become full is refused, and the database goes on.

-- Refuses a row for a table that has the most bytes on disk, be they of rows that are gone: what a
-- statement or an open transaction has written counts as well.
CREATE FUNCTION bound_table() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF (pg_table_size(TG_RELID) < (SELECT table_bytes FROM inbox_limits)) IS NOT TRUE THEN
        RAISE EXCEPTION 'the table % has % bytes, the most that it may',
            TG_TABLE_NAME, pg_table_size(TG_RELID) USING ERRCODE = 'disk_full';
    END IF;
    RETURN NEW;
END $$;

-- Refuses a row beyond so many that are the same in these columns: the number, then the columns.
CREATE FUNCTION bound_rows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    same text;
    others bigint;
BEGIN
    SELECT string_agg(format('t.%1$I = $1.%1$I', c), ' AND ') INTO same FROM unnest(TG_ARGV[1:]) AS c;
    -- Two rows at once must not both find the last place free.
    EXECUTE format('SELECT pg_advisory_xact_lock(hashtextextended(%L || $1.%I::text, 21))',
        TG_TABLE_NAME, TG_ARGV[TG_NARGS - 1]) USING NEW;
    EXECUTE format('SELECT count(*) FROM (SELECT FROM %I t WHERE %s LIMIT %s) AS s',
        TG_TABLE_NAME, same, TG_ARGV[0]) INTO others USING NEW;
    IF others >= TG_ARGV[0]::bigint THEN
        RAISE EXCEPTION 'there are % rows of this in %, the most that may be', others, TG_TABLE_NAME
            USING ERRCODE = 'program_limit_exceeded';
    END IF;
    RETURN NEW;
END $$;

-- Refuses what would have an operator remember more than it may, on all surfaces.
CREATE FUNCTION bound_memory() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- The lock that the API takes: two entries at once must not both find the last room.
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.account, 13));
    IF (NEW.bytes + coalesce((
        SELECT sum(m.bytes) FROM operator_memory m
        WHERE m.log_id = NEW.log_id AND m.account = NEW.account
            AND (m.surface, m.key) <> (NEW.surface, NEW.key)), 0)
        <= (SELECT memories_bytes FROM inbox_limits)) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'this account remembers as much as it may'
            USING ERRCODE = 'program_limit_exceeded';
    END IF;
    RETURN NEW;
END $$;

GRANT SELECT (log_id, account, surface, key, bytes) ON operator_memory TO tallystick_definer;
GRANT SELECT (key) ON confirmations TO tallystick_definer;
GRANT SELECT (webhook) ON webhook_secrets TO tallystick_definer;
CREATE POLICY bounder ON operator_memory FOR SELECT TO tallystick_definer USING (true);
CREATE POLICY bounder ON confirmations FOR SELECT TO tallystick_definer USING (true);
CREATE POLICY bounder ON webhook_secrets FOR SELECT TO tallystick_definer USING (true);

-- Once a statement, and at some of its rows: one of many rows is stopped within some dozen of them, and
-- one of few costs one look. What is there can always be ended, and be noted as delivered or refused.
DO $$
DECLARE
    filled text;
BEGIN
    FOREACH filled IN ARRAY ARRAY[
        'INSERT ON accounts', 'INSERT ON api_keys', 'INSERT ON sign_ins', 'INSERT ON signin_nonces',
        'INSERT OR UPDATE OF message, signature ON authorizations', 'INSERT ON confirmations',
        'INSERT OR UPDATE OF display_name, contact, capabilities ON operator_profiles',
        'INSERT OR UPDATE OF value ON operator_memory', 'INSERT ON surface_names',
        'INSERT ON lead_identities', 'INSERT ON order_identities', 'INSERT ON code_names',
        'INSERT ON action_results', 'INSERT ON proposals', 'INSERT ON counters', 'INSERT ON offers',
        'INSERT OR UPDATE OF url, events ON webhooks', 'INSERT ON webhook_secrets',
        'INSERT ON source_secrets', 'INSERT ON leases', 'INSERT ON messages'
    ]
    LOOP
        EXECUTE format('CREATE TRIGGER held_to_size BEFORE %s'
            ' FOR EACH STATEMENT EXECUTE FUNCTION bound_table()', filled);
        EXECUTE format('CREATE TRIGGER held_to_size_of_rows BEFORE %s'
            ' FOR EACH ROW WHEN (random() < 0.1) EXECUTE FUNCTION bound_table()', filled);
    END LOOP;
END $$;
-- Each request writes here, by a function and a row at a time; few rows are new.
CREATE TRIGGER held_to_size AFTER INSERT ON rate_limits
    FOR EACH ROW EXECUTE FUNCTION bound_table();

CREATE TRIGGER held_to_number BEFORE INSERT ON confirmations
    FOR EACH ROW EXECUTE FUNCTION bound_rows(20, key);
CREATE TRIGGER held_to_number BEFORE INSERT ON webhook_secrets
    FOR EACH ROW EXECUTE FUNCTION bound_rows(2, webhook);
CREATE TRIGGER held_to_number BEFORE INSERT ON surface_names
    FOR EACH ROW EXECUTE FUNCTION bound_rows(10000, log_id, owner);
CREATE TRIGGER held_to_number BEFORE INSERT ON offers
    FOR EACH ROW EXECUTE FUNCTION bound_rows(10000, log_id, owner);
CREATE TRIGGER held_to_number BEFORE INSERT ON proposals
    FOR EACH ROW EXECUTE FUNCTION bound_rows(100000, log_id, operator);
CREATE TRIGGER held_to_number BEFORE INSERT OR UPDATE ON operator_memory
    FOR EACH ROW EXECUTE FUNCTION bound_memory();

-- Large objects have no table of ours, and everyone may make them by default. Who migrates need not be a
-- superuser; then a superuser does this.
DO $$
BEGIN
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        REVOKE EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea)
            FROM PUBLIC;
    END IF;
END $$;

GRANT CREATE ON SCHEMA public TO tallystick_definer;
ALTER FUNCTION bound_table OWNER TO tallystick_definer;
ALTER FUNCTION bound_rows OWNER TO tallystick_definer;
ALTER FUNCTION bound_memory OWNER TO tallystick_definer;
REVOKE CREATE ON SCHEMA public FROM tallystick_definer;
