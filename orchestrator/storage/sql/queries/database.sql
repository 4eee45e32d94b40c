-- Queries of every connection.

-- name: start
-- Start a transaction.
BEGIN ISOLATION LEVEL READ COMMITTED;

-- name: start_snapshot
-- Start a transaction whose queries all see one and the same state of the database.
BEGIN ISOLATION LEVEL REPEATABLE READ;

-- name: commit
-- End a transaction, and keep what it did.
COMMIT;

-- name: roll_back
-- End a transaction, and undo what it did.
ROLLBACK;

-- name: flush
-- Have all that was committed before this on the disk, when this has committed: it writes nothing but
-- a record of a few bytes, whose place is behind all that.
SELECT pg_logical_emit_message(true, 'tallystick', '');

-- name: server
-- The moment at which this server began: no other one's.
SELECT pg_postmaster_start_time() AS began;

-- name: begin
-- Name the account that this transaction speaks for, as a worker, empty for none; and its limits: a slow
-- statement, a lock or a silent client must not hold the database up without end.
SELECT set_config('tallystick.account', lower(%(account)s::text), true) AS account,
    set_config('synchronous_commit', CASE %(durability)s::text
        WHEN 'off' THEN 'off' ELSE current_setting('synchronous_commit') END, true) AS durability,
    set_config('statement_timeout', '60s', true) AS of_statement,
    set_config('lock_timeout', '10s', true) AS of_lock,
    set_config('idle_in_transaction_session_timeout', '60s', true) AS of_silence;

-- name: begin_with_key
-- The same, and present the secret of a key, for whose account this transaction then speaks; what is
-- known of the key, NULL if nothing is.
SELECT k.account, k.key, k.name, k.parent, k.scopes, k.surfaces, k.expires_ms, k.state, begun.*
FROM (
    SELECT set_config('tallystick.account', lower(%(account)s::text), true) AS named,
        set_config('synchronous_commit', CASE %(durability)s::text
            WHEN 'off' THEN 'off' ELSE current_setting('synchronous_commit') END, true) AS durability,
        set_config('statement_timeout', '60s', true) AS of_statement,
        set_config('lock_timeout', '10s', true) AS of_lock,
        set_config('idle_in_transaction_session_timeout', '60s', true) AS of_silence
) AS begun LEFT JOIN present(%(secret)s) AS k ON true;

-- name: follow_trace
-- Have the requests that this transaction takes stored with a trace.
SELECT set_config('tallystick.trace', %(trace)s, true);

-- name: present
-- Present the secret of a key, for whose account this transaction then speaks; what is known of it.
SELECT account, key, name, parent, scopes, surfaces, expires_ms, state FROM present(%(secret)s);

-- name: listen_to_sign_ins
-- Have this connection told when a sign-in waits.
LISTEN tallystick_sign_ins;

-- name: listen_to_checkpoints
-- Have this connection told when a log has a new checkpoint.
LISTEN tallystick_checkpoints;

-- name: listen_to_messages
-- Have this connection told the topic of each board that has a new message.
LISTEN tallystick_messages;

-- name: release_locks
-- Release all locks that this connection still holds.
SELECT pg_advisory_unlock_all();

-- name: login
-- The role that acts here, the one that logged in, and whether that could do more than its own rights
-- say: pass over row policies, make roles or databases, or become another role.
SELECT current_user::text AS name, session_user::text AS session,
    rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication
        OR EXISTS (SELECT FROM pg_auth_members WHERE member = pg_roles.oid) AS is_mighty
FROM pg_roles WHERE rolname = session_user;

-- name: owned
-- The name of this database, and whether its owner asks.
SELECT datname, pg_has_role(current_user, datdba, 'USAGE') FROM pg_database
WHERE datname = current_database();

-- name: put_rights
-- Make the rights of requests these, and no others.
WITH given AS (
    SELECT * FROM json_to_recordset(%(rights)s::json) AS (
        kind text, sender text, scope text, actor text, names_key boolean,
        is_surface_owners boolean, is_publishers boolean)
), dropped AS (
    DELETE FROM request_rights WHERE kind NOT IN (SELECT kind FROM given)
)
INSERT INTO request_rights
    (kind, sender, scope, actor, names_key, is_surface_owners, is_publishers)
SELECT kind, sender, scope, actor, names_key, is_surface_owners, is_publishers FROM given
ON CONFLICT (kind) DO UPDATE SET
    sender = excluded.sender, scope = excluded.scope, actor = excluded.actor,
    names_key = excluded.names_key, is_surface_owners = excluded.is_surface_owners, is_publishers = excluded.is_publishers;

-- name: put_inbox_limits
-- Hold requests to these numbers from now on.
INSERT INTO inbox_limits (
    waiting_requests, waiting_of_operators, share, stored_bytes, all_stored_bytes, bytes_of_row,
    turn_requests, table_bytes, leases, messages, memories_bytes, webhooks)
VALUES (
    %(waiting_requests)s, %(waiting_of_operators)s, %(share)s, %(stored_bytes)s,
    %(all_stored_bytes)s, %(bytes_of_row)s, %(turn_requests)s, %(table_bytes)s, %(leases)s,
    %(messages)s, %(memories_bytes)s, %(webhooks)s)
ON CONFLICT (is_set) DO UPDATE SET
    waiting_requests = excluded.waiting_requests,
    waiting_of_operators = excluded.waiting_of_operators, share = excluded.share,
    stored_bytes = excluded.stored_bytes, all_stored_bytes = excluded.all_stored_bytes,
    bytes_of_row = excluded.bytes_of_row, turn_requests = excluded.turn_requests,
    table_bytes = excluded.table_bytes, leases = excluded.leases, messages = excluded.messages,
    memories_bytes = excluded.memories_bytes, webhooks = excluded.webhooks;

-- name: inbox_limits
-- The numbers that requests are held to.
SELECT waiting_requests, waiting_of_operators, share, stored_bytes, all_stored_bytes, bytes_of_row,
    turn_requests, table_bytes, leases, messages, memories_bytes, webhooks
FROM inbox_limits;

-- name: clock
-- The clock that stamps receipts, and whether it is one that is moved by hand.
SELECT clock_ms() AS now_ms, EXISTS (SELECT FROM simulated_clock) AS is_simulated;

-- name: begin_clock
-- Have receipts stamped by a clock that is moved by hand, before any log begins.
INSERT INTO simulated_clock (now_ms) VALUES (%(now_ms)s);

-- name: move_clock
-- Set the clock that is moved by hand; no row if there is none.
UPDATE simulated_clock SET now_ms = %(now_ms)s;

-- name: log
-- One log's facts.
SELECT log_id, origin, chain_id, event_log, escrow, publisher FROM logs WHERE log_id = %(log_id)s;
