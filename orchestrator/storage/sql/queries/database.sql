-- Queries of every connection.

-- name: set_account
-- Name the account that this transaction speaks for, as a worker; empty for none.
SELECT set_config('tallystick.account', lower(%(account)s::text), true);

-- name: use_snapshot
-- Let every query of this transaction see one and the same state of the database.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;

-- name: present
-- Present the secret of a key, for whose account this transaction then speaks; what is known of it.
SELECT account, key, name, parent, scopes, surfaces, expires_ms, state FROM present(%(secret)s);

-- name: listen
-- Have this connection told when a sign-in waits.
LISTEN tallystick_sign_ins;

-- name: release_locks
-- Release all locks that this connection still holds.
SELECT pg_advisory_unlock_all();

-- name: current_role
-- The role that acts here, with a flag if it could pass over row policies.
SELECT rolname::text AS name, rolsuper OR rolbypassrls AS bypasses_policies
FROM pg_roles WHERE rolname = current_user;

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
