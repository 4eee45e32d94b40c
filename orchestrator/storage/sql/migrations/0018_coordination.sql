-- Coordination of agents: leases on what they work on, and messages between them. Both are on a board:
-- an operator's own on a surface, which its keys share, or a contract's, which its two parties share. No
-- login reads or writes these tables; the functions below do, for the key that the transaction presents.

-- Tenant. `account` is the operator whose board it is, or whose contract; `board` the id of the surface or
-- the contract. The holder is a key, or any key of an account that a lease was handed to. `payer` is the
-- account whose number of leases it counts to: that of the last key which took or renewed it.
CREATE TABLE leases (
    log_id word NOT NULL,
    account address NOT NULL,
    board word NOT NULL,
    item text COLLATE "C" NOT NULL
        CHECK (item ~ '^(0x[0-9a-f]{64}|[A-Za-z][0-9A-Za-z._:-]{0,127})$'),
    surface word NOT NULL,
    lead word GENERATED ALWAYS AS (
        CASE WHEN item LIKE '0x%' THEN decode(substr(item, 3), 'hex') END) STORED,
    holder address NOT NULL,
    holder_key word,
    payer address NOT NULL,
    fence bigint NOT NULL,
    taken_ms bigint NOT NULL,
    expires_ms bigint NOT NULL,
    PRIMARY KEY (log_id, account, board, item),
    FOREIGN KEY (log_id, surface, lead) REFERENCES lead_identities (log_id, surface, lead)
        ON DELETE CASCADE
);
CREATE INDEX leases_by_payer ON leases (payer, expires_ms);
CREATE INDEX leases_by_lead ON leases (log_id, surface, lead) WHERE lead IS NOT NULL;

-- Tenant. One that is about a lead goes with the lead's identity, as a lease on it does.
CREATE TABLE messages (
    log_id word NOT NULL,
    account address NOT NULL,
    board word NOT NULL,
    number bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('claim', 'handover', 'release', 'result')),
    item text COLLATE "C" NOT NULL
        CHECK (item ~ '^(0x[0-9a-f]{64}|[A-Za-z][0-9A-Za-z._:-]{0,127})$'),
    surface word NOT NULL,
    lead word GENERATED ALWAYS AS (
        CASE WHEN item LIKE '0x%' THEN decode(substr(item, 3), 'hex') END) STORED,
    sender address NOT NULL,
    sender_key word NOT NULL,
    to_key word,
    body json NOT NULL CHECK (octet_length(body::text) <= 4096),
    created_ms bigint NOT NULL,
    PRIMARY KEY (log_id, account, board, number),
    FOREIGN KEY (log_id, surface, lead) REFERENCES lead_identities (log_id, surface, lead)
        ON DELETE CASCADE
);
CREATE INDEX messages_by_sender ON messages (sender, number);
CREATE INDEX messages_by_lead ON messages (log_id, surface, lead) WHERE lead IS NOT NULL;

-- They only grow, and outlive the rows: a fence is never given out twice, and a cursor never points ahead.
CREATE SEQUENCE lease_fences;
CREATE SEQUENCE message_numbers;

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['leases', 'messages'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format(
            'CREATE POLICY definer ON %I TO tallystick_definer USING (true) WITH CHECK (true)',
            tenant_table);
    END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE, DELETE ON leases TO tallystick_definer;
GRANT SELECT, INSERT, UPDATE, DELETE ON messages TO tallystick_definer;
GRANT USAGE ON SEQUENCE lease_fences, message_numbers TO tallystick_definer;

-- Boards ------------------------------------------------------------------------------------------

-- The scope by which a key is on a board: an operator's side of it, or that of a contract's owner.
CREATE FUNCTION board_scope(is_owner boolean) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN is_owner THEN 'owner:review' ELSE 'operator:coordinate' END;

-- The board of this id as the presented key may use it; all are NULL if it may not, whether or not there
-- is one. `other` is the contract's other party; an operator's own board has none. `topic` is what those
-- who wait for the board's messages are told.
CREATE FUNCTION board_of(
    of_log bytea, of_board bytea,
    OUT owned_by text, OUT on_surface bytea, OUT is_open boolean, OUT is_owner boolean, OUT other text,
    OUT speaker text, OUT speaker_key bytea, OUT is_wallets boolean, OUT topic text
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    shown record;
    said bytea;
BEGIN
    SELECT * INTO shown FROM key_presented AS k WHERE k.state = 'live';
    said := decode(repeat('0', 24) || substr(shown.account, 3), 'hex');
    SELECT s.surface, true, false, shown.account INTO on_surface, is_open, is_owner, owned_by
        FROM surfaces s WHERE s.log_id = of_log AND s.surface = of_board;
    IF NOT FOUND THEN
        SELECT c.surface, c.closed_at_ms IS NULL, c.owner = said,
                '0x' || encode(substring(c.operator FROM 13), 'hex'),
                '0x' || encode(
                    substring(CASE WHEN c.owner = said THEN c.operator ELSE c.owner END FROM 13), 'hex')
            INTO on_surface, is_open, is_owner, owned_by, other
            FROM contracts c
            WHERE c.log_id = of_log AND c.contract_id = of_board AND said IN (c.owner, c.operator);
    END IF;
    IF (board_scope(is_owner) = ANY (shown.scopes)
        AND (shown.surfaces IS NULL OR on_surface = ANY (shown.surfaces))) IS NOT TRUE
    THEN
        owned_by := NULL;
        RETURN;
    END IF;
    speaker := shown.account;
    speaker_key := shown.key;
    is_wallets := shown.parent IS NULL;
    topic := encode(sha256(of_log || of_board || convert_to(owned_by, 'UTF8')), 'hex');
END $$;

-- The topic of a board of the presented key; NULL if it is on none of this id.
CREATE FUNCTION board_topic(of_log bytea, on_board bytea) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT b.topic FROM board_of(of_log, on_board) AS b);
END $$;

-- The one live key that this names, on a board: by its id any of either side, by its name one of the
-- speaker's own account. No row if there is none, or more than one.
CREATE FUNCTION key_on_board(of_log bytea, on_board bytea, named text)
RETURNS TABLE (account text, key bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    here record;
BEGIN
    SELECT * INTO here FROM board_of(of_log, on_board);
    RETURN QUERY
        SELECT min(k.account), decode(min(encode(k.key, 'hex')), 'hex')
        FROM api_keys k LEFT JOIN api_keys p ON p.key = k.parent
        WHERE (k.account = here.speaker AND k.name = named
                OR k.account IN (here.speaker, here.other) AND '0x' || encode(k.key, 'hex') = named)
            AND k.revoked_ms IS NULL AND p.revoked_ms IS NULL
            AND least(k.expires_ms, p.expires_ms) > clock_ms()
            AND board_scope(here.is_owner = (k.account = here.speaker)) = ANY (k.scopes)
            AND (k.surfaces IS NULL OR here.on_surface = ANY (k.surfaces))
        HAVING count(*) = 1;
END $$;

-- Leases ------------------------------------------------------------------------------------------

-- Takes an item for the presented key, or, with the fence of a lease that it holds, renews that. Returns
-- `taken`, or why not: `unknown` (no board of this key), `closed`, `full` (the account has the most), `held`
-- (by a lease that has not expired), `lost` (that lease is not this key's, or has ended).
--
-- Two locks come before the statement that takes: of the account, so that two keys do not both find its
-- last place free, and of the item, so that who has it later has the higher fence. A clock that is read
-- before them is early, so a lease is never taken before its end.
CREATE FUNCTION take_lease(
    of_log bytea, on_board bytea, of_item text, with_fence bigint, for_ms bigint, most bigint
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    here record;
    moment CONSTANT bigint := clock_ms();
    until_ms CONSTANT bigint := moment + least(for_ms, 86400000);
BEGIN
    SELECT * INTO here FROM board_of(of_log, on_board);
    IF here.owned_by IS NULL THEN
        RETURN 'unknown';
    ELSIF NOT here.is_open THEN
        RETURN 'closed';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(here.speaker, 18));
    PERFORM pg_advisory_xact_lock(hashtextextended(here.topic || of_item, 19));
    IF (SELECT count(*) FROM leases l
        WHERE l.payer = here.speaker AND l.expires_ms > moment
            AND (l.log_id, l.account, l.board, l.item)
                <> (of_log, here.owned_by, on_board, of_item))
        >= (SELECT least(most, i.leases) FROM inbox_limits i)
    THEN
        RETURN 'full';
    END IF;
    IF with_fence IS NOT NULL THEN
        UPDATE leases l SET expires_ms = until_ms, payer = here.speaker, holder_key = here.speaker_key
            WHERE l.log_id = of_log AND l.account = here.owned_by AND l.board = on_board
                AND l.item = of_item AND l.fence = with_fence AND l.expires_ms > moment
                AND l.holder = here.speaker
                AND coalesce(l.holder_key, here.speaker_key) = here.speaker_key;
        RETURN CASE WHEN FOUND THEN 'taken' ELSE 'lost' END;
    END IF;
    INSERT INTO leases AS l (log_id, account, board, item, surface, holder, holder_key, payer, fence,
            taken_ms, expires_ms)
        VALUES (of_log, here.owned_by, on_board, of_item, here.on_surface, here.speaker,
            here.speaker_key, here.speaker, nextval('lease_fences'), moment, until_ms)
        ON CONFLICT (log_id, account, board, item) DO UPDATE SET
            holder = excluded.holder, holder_key = excluded.holder_key, payer = excluded.payer,
            fence = excluded.fence, taken_ms = excluded.taken_ms, expires_ms = excluded.expires_ms
        WHERE l.expires_ms <= moment;
    IF NOT FOUND THEN
        RETURN 'held';
    END IF;
    -- What has expired goes now, so an account has no more rows than it may hold leases. What another
    -- transaction is at is passed over: to wait for it could be to wait for each other.
    DELETE FROM leases WHERE (log_id, account, board, item) IN (
        SELECT l.log_id, l.account, l.board, l.item FROM leases l
        WHERE l.payer = here.speaker AND l.expires_ms <= moment FOR UPDATE SKIP LOCKED);
    RETURN 'taken';
END $$;

-- Ends a lease, or hands it over: to a key by its id or name, or to any key of an account by its address.
-- Its holder may, and the wallet's own key for a delegate. Returns `released` or `handed`, or why not:
-- `unknown`, `closed`, `lost` (it has ended), `held` (by another), `absent` (there is no such key here).
CREATE FUNCTION release_lease(
    of_log bytea, on_board bytea, of_item text, with_fence bigint, to_whom text
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    here record;
    held leases;
    next_holder text;
    next_key bytea;
    moment CONSTANT bigint := clock_ms();
BEGIN
    SELECT * INTO here FROM board_of(of_log, on_board);
    IF here.owned_by IS NULL THEN
        RETURN 'unknown';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(here.topic || of_item, 19));
    SELECT * INTO held FROM leases l
        WHERE l.log_id = of_log AND l.account = here.owned_by AND l.board = on_board
            AND l.item = of_item AND l.fence = with_fence AND l.expires_ms > moment;
    IF NOT FOUND THEN
        RETURN 'lost';
    ELSIF held.holder <> here.speaker OR NOT (
        here.is_wallets OR coalesce(held.holder_key, here.speaker_key) = here.speaker_key)
    THEN
        RETURN 'held';
    ELSIF to_whom IS NULL THEN
        DELETE FROM leases l
            WHERE l.log_id = of_log AND l.account = here.owned_by AND l.board = on_board
                AND l.item = of_item;
        RETURN 'released';
    ELSIF NOT here.is_open THEN
        RETURN 'closed';
    END IF;
    IF lower(to_whom) IN (here.speaker, here.other) THEN
        next_holder := lower(to_whom);
    ELSE
        SELECT k.account, k.key INTO next_holder, next_key
            FROM key_on_board(of_log, on_board, to_whom) AS k;
    END IF;
    IF next_holder IS NULL THEN
        RETURN 'absent';
    END IF;
    UPDATE leases l SET holder = next_holder, holder_key = next_key,
            fence = nextval('lease_fences'), taken_ms = moment
        WHERE l.log_id = of_log AND l.account = here.owned_by AND l.board = on_board
            AND l.item = of_item;
    RETURN 'handed';
END $$;

-- The live leases of a board, by item, or the one of an item. The name of a key is its account's own. It
-- is volatile so that it sees what the statement that calls it has just taken.
CREATE FUNCTION board_leases(of_log bytea, on_board bytea, of_item text, after_item text, most integer)
RETURNS TABLE (
    item text, holder text, holder_key bytea, holder_name text, fence bigint, taken_ms bigint,
    expires_ms bigint
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    here record;
    moment CONSTANT bigint := clock_ms();
BEGIN
    SELECT * INTO here FROM board_of(of_log, on_board);
    RETURN QUERY
        SELECT l.item, l.holder::text, l.holder_key::bytea, k.name, l.fence, l.taken_ms, l.expires_ms
        FROM leases l LEFT JOIN api_keys k ON k.key = l.holder_key AND k.account = here.speaker
        WHERE l.log_id = of_log AND l.account = here.owned_by AND l.board = on_board
            AND l.expires_ms > moment AND l.item > after_item
            AND (of_item IS NULL OR l.item = of_item)
        ORDER BY l.item LIMIT most;
END $$;

-- Messages ----------------------------------------------------------------------------------------

-- Puts a message on a board and wakes those who wait for one. Returns what became of it, `sent` or as
-- above, with its number. The sender's oldest go beyond `most`, and those that are older than `life_ms`:
-- no account pushes another's out.
CREATE FUNCTION send_message(
    of_log bytea, on_board bytea, of_kind text, of_item text, to_whom text, said json, most bigint, life_ms bigint, OUT outcome text, OUT number bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    here record;
    to_key bytea;
    moment CONSTANT bigint := clock_ms();
BEGIN
    SELECT * INTO here FROM board_of(of_log, on_board);
    IF here.owned_by IS NULL THEN
        outcome := 'unknown';
    ELSIF NOT here.is_open THEN
        outcome := 'closed';
    ELSIF to_whom IS NOT NULL THEN
        SELECT k.key INTO to_key FROM key_on_board(of_log, on_board, to_whom) AS k;
        IF NOT FOUND THEN
            outcome := 'absent';
        END IF;
    END IF;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    -- Held until the transaction ends: a lower number never comes to light after a higher one.
    PERFORM pg_advisory_xact_lock(hashtextextended(here.topic, 20));
    number := nextval('message_numbers');
    INSERT INTO messages (log_id, account, board, number, kind, item, surface, sender, sender_key,
            to_key, body, created_ms)
        VALUES (of_log, here.owned_by, on_board, number, of_kind, of_item, here.on_surface,
            here.speaker, here.speaker_key, to_key, said, moment);
    DELETE FROM messages WHERE (log_id, account, board, number) IN (
        SELECT m.log_id, m.account, m.board, m.number FROM messages m
        WHERE m.sender = here.speaker AND m.number <= coalesce((
                SELECT o.number FROM messages o WHERE o.sender = here.speaker
                ORDER BY o.number DESC
                OFFSET (SELECT least(most, i.messages) FROM inbox_limits i) LIMIT 1), 0)
        FOR UPDATE SKIP LOCKED);
    DELETE FROM messages WHERE (log_id, account, board, number) IN (
        SELECT m.log_id, m.account, m.board, m.number FROM messages m
        WHERE m.sender = here.speaker AND m.created_ms <= moment - life_ms
        ORDER BY m.number LIMIT 1000 FOR UPDATE SKIP LOCKED);
    PERFORM pg_notify('tallystick_messages', here.topic);
    outcome := 'sent';
END $$;

-- The messages of a board behind a number, in their order.
CREATE FUNCTION board_messages(
    of_log bytea, on_board bytea, after_number bigint, most integer, life_ms bigint
) RETURNS TABLE (
    number bigint, kind text, item text, sender text, sender_key bytea, sender_name text,
    to_key bytea, body json, created_ms bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    here record;
    moment CONSTANT bigint := clock_ms();
BEGIN
    SELECT * INTO here FROM board_of(of_log, on_board);
    RETURN QUERY
        SELECT m.number, m.kind, m.item, m.sender::text, m.sender_key::bytea, k.name,
            m.to_key::bytea, m.body, m.created_ms
        FROM messages m LEFT JOIN api_keys k ON k.key = m.sender_key AND k.account = here.speaker
        WHERE m.log_id = of_log AND m.account = here.owned_by AND m.board = on_board
            AND m.number > after_number AND m.created_ms > moment - life_ms
        ORDER BY m.number LIMIT most;
END $$;

GRANT EXECUTE ON FUNCTION board_scope TO tallystick_definer;
GRANT EXECUTE ON FUNCTION board_topic, take_lease, release_lease, board_leases, send_message,
    board_messages TO tallystick_api;
GRANT CREATE ON SCHEMA public TO tallystick_definer;
ALTER FUNCTION board_of OWNER TO tallystick_definer;
ALTER FUNCTION board_topic OWNER TO tallystick_definer;
ALTER FUNCTION key_on_board OWNER TO tallystick_definer;
ALTER FUNCTION take_lease OWNER TO tallystick_definer;
ALTER FUNCTION release_lease OWNER TO tallystick_definer;
ALTER FUNCTION board_leases OWNER TO tallystick_definer;
ALTER FUNCTION send_message OWNER TO tallystick_definer;
ALTER FUNCTION board_messages OWNER TO tallystick_definer;
REVOKE CREATE ON SCHEMA public FROM tallystick_definer;
