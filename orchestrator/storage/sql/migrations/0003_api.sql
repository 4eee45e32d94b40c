-- Tables of the API beside those of the log.

-- A surface's id is SHA-256(owner word ‖ name word), so a row shows whose the surface is, before the log
-- has it and ever after. Public, as the log's own tables are; an account names its own surfaces alone.
CREATE TABLE surface_names (
    log_id word NOT NULL,
    surface word NOT NULL,
    owner word NOT NULL,
    name text NOT NULL CHECK (name ~ '^[!-~]([ -~]{0,30}[!-~])?$'),
    PRIMARY KEY (log_id, surface),
    CHECK (surface = sha256(
        owner || convert_to(name, 'UTF8') || decode(repeat('00', 32 - octet_length(name)), 'hex')))
);
CREATE INDEX surface_names_by_owner ON surface_names (log_id, owner);
CALL only_grows('surface_names');
ALTER TABLE surface_names ENABLE ROW LEVEL SECURITY;
ALTER TABLE surface_names FORCE ROW LEVEL SECURITY;
GRANT SELECT ON surface_names
    TO tallystick_sequencer, tallystick_worker, tallystick_api, tallystick_definer;
CREATE POLICY public_facts ON surface_names FOR SELECT
    TO tallystick_sequencer, tallystick_worker, tallystick_api, tallystick_definer USING (true);
GRANT INSERT ON surface_names TO tallystick_api;
CREATE POLICY namer ON surface_names FOR INSERT TO tallystick_api
    WITH CHECK (owner = (SELECT current_word()) AND key_may('owner:publish', surface));

-- Once a contract is open its terms are on the chain for everyone to read, and so they are here.
CREATE POLICY opened ON proposals FOR SELECT TO tallystick_api USING (
    EXISTS (
        SELECT FROM contracts c
        WHERE c.log_id = proposals.log_id AND c.contract_id = proposals.contract_id
    )
);

-- Allowances that are full again say nothing.
GRANT SELECT, DELETE ON rate_limits TO tallystick_worker;
CREATE POLICY sweeper ON rate_limits TO tallystick_worker USING (true) WITH CHECK (false);

-- The value word of an entry that holds an amount, which is below 2^80.
CREATE FUNCTION entry_units(entry bytea) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ('x' || encode(substring(entry FROM 183 FOR 2), 'hex'))::bit(16)::bigint::numeric
        * 18446744073709551616
    + ('x' || encode(substring(entry FROM 185 FOR 4), 'hex'))::bit(32)::bigint::numeric * 4294967296
    + ('x' || encode(substring(entry FROM 189 FOR 4), 'hex'))::bit(32)::bigint::numeric;
