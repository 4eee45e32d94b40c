-- Identity: sign-ins and the registrar that decides them, delegates' keys, and what an operator keeps
-- here for itself.

-- A key is what its scopes say, on the surfaces that it is limited to --------------------------------

CREATE POLICY within_surfaces ON leads AS RESTRICTIVE FOR SELECT TO tallystick_api USING (
    (SELECT current_surfaces()) IS NULL OR surface = ANY ((SELECT current_surfaces())::bytea[]));
CREATE POLICY within_surfaces ON lead_identities AS RESTRICTIVE TO tallystick_api USING (
    (SELECT current_surfaces()) IS NULL OR surface = ANY ((SELECT current_surfaces())::bytea[]));
CREATE POLICY within_surfaces ON order_identities AS RESTRICTIVE TO tallystick_api USING (
    (SELECT current_surfaces()) IS NULL OR surface = ANY ((SELECT current_surfaces())::bytea[]));
CREATE POLICY within_surfaces ON private_payloads AS RESTRICTIVE TO tallystick_api USING (
    surface IS NULL OR (SELECT current_surfaces()) IS NULL
    OR surface = ANY ((SELECT current_surfaces())::bytea[]));

CREATE POLICY eraser_scope ON lead_identities AS RESTRICTIVE FOR DELETE TO tallystick_api
    USING (key_may('owner:erase', surface));
CREATE POLICY eraser_scope ON order_identities AS RESTRICTIVE FOR DELETE TO tallystick_api
    USING (key_may('owner:erase', surface));
CREATE POLICY eraser_scope ON private_payloads AS RESTRICTIVE FOR DELETE TO tallystick_api
    USING (key_may('owner:erase', surface));
CREATE POLICY reporter_scope ON order_identities AS RESTRICTIVE FOR INSERT TO tallystick_api
    WITH CHECK (key_may('owner:report', surface));
CREATE POLICY proposer_scope ON proposals AS RESTRICTIVE FOR INSERT TO tallystick_api
    WITH CHECK (key_may('operator:propose', surface));

-- Sign-ins: stored by the API, decided by the registrar ----------------------------------------------

-- A message that a wallet is said to have signed, and the hash of the secret of the key that it asks
-- for. The API's machine keeps neither: a row is seen by who presents the secret, and goes within
-- minutes. `code` and `detail` say why the registrar refused it.
CREATE TABLE sign_ins (
    secret_hash word PRIMARY KEY,
    message text NOT NULL CHECK (octet_length(message) BETWEEN 1 AND 8192),
    signature bytea NOT NULL CHECK (octet_length(signature) <= 16384),
    name text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 128),
    created_ms bigint NOT NULL,
    expires_ms bigint NOT NULL,
    code text,
    detail text,
    CHECK ((code IS NULL) = (detail IS NULL))
);
CREATE INDEX sign_ins_waiting ON sign_ins (created_ms) WHERE code IS NULL;
ALTER TABLE sign_ins ENABLE ROW LEVEL SECURITY;
ALTER TABLE sign_ins FORCE ROW LEVEL SECURITY;

GRANT SELECT (created_ms) ON sign_ins TO tallystick_definer;
CREATE POLICY counter ON sign_ins FOR SELECT TO tallystick_definer USING (true);
CREATE FUNCTION sign_ins_are_full(most bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
BEGIN ATOMIC
    SELECT EXISTS (SELECT created_ms FROM sign_ins OFFSET most - 1);
END;

GRANT INSERT (secret_hash, message, signature, name, created_ms, expires_ms) ON sign_ins
    TO tallystick_api;
GRANT SELECT (secret_hash, code, detail) ON sign_ins TO tallystick_api;
CREATE POLICY asker ON sign_ins FOR SELECT TO tallystick_api
    USING (secret_hash = (SELECT sha256(presented())));
CREATE POLICY asker_of ON sign_ins FOR INSERT TO tallystick_api WITH CHECK (
    secret_hash = (SELECT sha256(presented())) AND created_ms = (SELECT clock_ms())
    AND NOT (SELECT sign_ins_are_full(10000)));

GRANT SELECT, UPDATE (code, detail), DELETE ON sign_ins TO tallystick_registrar;
CREATE POLICY registrar ON sign_ins TO tallystick_registrar USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE (used_ms) ON signin_nonces TO tallystick_registrar;
CREATE POLICY registrar ON signin_nonces TO tallystick_registrar USING (true) WITH CHECK (true);

-- Keys ----------------------------------------------------------------------------------------------

-- The registrar alone makes a wallet's key, and no other sort.
GRANT SELECT, INSERT ON accounts TO tallystick_registrar;
CREATE POLICY registrar ON accounts TO tallystick_registrar USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON api_keys TO tallystick_registrar;
CREATE POLICY registrar ON api_keys FOR SELECT TO tallystick_registrar USING (true);
CREATE POLICY minter ON api_keys FOR INSERT TO tallystick_registrar WITH CHECK (
    parent IS NULL AND revoked_ms IS NULL AND created_ms = (SELECT clock_ms())
    AND expires_ms <= (SELECT clock_ms()) + 31 * 86400000::bigint);

-- A wallet's key makes delegates: keys of its own account with no more than its scopes and surfaces,
-- which expire no later. A delegate makes none, so that revoking one takes back all it could pass on.
CREATE FUNCTION is_wallet_key() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp
BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM key_presented AS k WHERE k.state = 'live' AND k.parent IS NULL);
END;
CREATE FUNCTION may_delegate(
    of_account text, by_key bytea, new_scopes text[], on_surfaces bytea[], until_ms bigint
) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM key_presented AS k
        WHERE k.state = 'live' AND k.parent IS NULL
            AND k.account = of_account AND k.key = by_key
            AND new_scopes <@ k.scopes AND (k.surfaces IS NULL OR on_surfaces <@ k.surfaces)
            AND until_ms <= k.expires_ms
    );
END;
GRANT EXECUTE ON FUNCTION sign_ins_are_full, is_wallet_key, may_delegate TO tallystick_api;
GRANT CREATE ON SCHEMA public TO tallystick_definer;
ALTER FUNCTION sign_ins_are_full OWNER TO tallystick_definer;
ALTER FUNCTION is_wallet_key OWNER TO tallystick_definer;
ALTER FUNCTION may_delegate OWNER TO tallystick_definer;
REVOKE CREATE ON SCHEMA public FROM tallystick_definer;

-- A wallet's key sees and ends all keys of its account, a delegate itself. The hash of a secret is
-- shown to no role that serves people.
GRANT SELECT (key, account, parent, name, scopes, surfaces, created_ms, expires_ms, revoked_ms)
    ON api_keys TO tallystick_api;
GRANT INSERT (key, account, secret_hash, parent, name, scopes, surfaces, created_ms, expires_ms)
    ON api_keys TO tallystick_api;
GRANT UPDATE (name, expires_ms, revoked_ms) ON api_keys TO tallystick_api;
CREATE POLICY self ON api_keys FOR SELECT TO tallystick_api USING (
    account = (SELECT current_account())
    AND (key = (SELECT current_key()) OR (SELECT is_wallet_key())));
CREATE POLICY delegator ON api_keys FOR INSERT TO tallystick_api WITH CHECK (
    revoked_ms IS NULL AND created_ms = (SELECT clock_ms())
    AND may_delegate(account, parent, scopes, surfaces, expires_ms));
CREATE POLICY ender ON api_keys FOR UPDATE TO tallystick_api USING (
    account = (SELECT current_account())
    AND (key = (SELECT current_key()) OR (SELECT is_wallet_key())));

-- A key only ends: no role gives one more time, or takes its revocation back.
CREATE FUNCTION refuse_revival() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.expires_ms > OLD.expires_ms
        OR (OLD.revoked_ms IS NOT NULL AND NEW.revoked_ms IS DISTINCT FROM OLD.revoked_ms)
    THEN
        RAISE EXCEPTION 'a key that ends is not given more time' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER only_ends BEFORE UPDATE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION refuse_revival();

-- Bounds what an account has: 100 live delegates, beyond which no more are made; 100 live keys of its
-- wallet, beyond which a new one ends the one that would expire first (a wallet must always get in);
-- and 500 keys that have ended, whose names are still to be read.
CREATE FUNCTION bound_keys() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    moment bigint := clock_ms();
BEGIN
    -- Two keys at once must not both find the last place free.
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.account, 11));
    IF NEW.parent IS NULL THEN
        UPDATE api_keys SET revoked_ms = moment WHERE key IN (
            SELECT k.key FROM api_keys k
            WHERE k.account = NEW.account AND k.parent IS NULL
                AND k.revoked_ms IS NULL AND k.expires_ms > moment
            ORDER BY k.expires_ms DESC, k.created_ms DESC, k.key OFFSET 99);
    ELSIF (
        SELECT count(*) FROM api_keys k JOIN api_keys p ON p.key = k.parent
        WHERE k.account = NEW.account AND k.revoked_ms IS NULL AND p.revoked_ms IS NULL
            AND least(k.expires_ms, p.expires_ms) > moment
    ) >= 100 THEN
        RAISE EXCEPTION 'this account has 100 live delegates'
            USING ERRCODE = 'program_limit_exceeded';
    END IF;
    DELETE FROM api_keys WHERE key IN (
        SELECT k.key FROM api_keys k LEFT JOIN api_keys p ON p.key = k.parent
        WHERE k.account = NEW.account AND (
            k.revoked_ms IS NOT NULL OR p.revoked_ms IS NOT NULL
            OR least(k.expires_ms, p.expires_ms) <= moment)
        ORDER BY k.created_ms DESC, k.key OFFSET 500);
    RETURN NEW;
END $$;
GRANT UPDATE (revoked_ms), DELETE ON api_keys TO tallystick_definer;
CREATE POLICY bounder ON api_keys FOR UPDATE TO tallystick_definer USING (true);
CREATE POLICY bounder_of ON api_keys FOR DELETE TO tallystick_definer USING (true);
CREATE TRIGGER bounded BEFORE INSERT ON api_keys FOR EACH ROW EXECUTE FUNCTION bound_keys();
GRANT CREATE ON SCHEMA public TO tallystick_definer;
ALTER FUNCTION bound_keys OWNER TO tallystick_definer;
REVOKE CREATE ON SCHEMA public FROM tallystick_definer;

-- Operators' own words of themselves --------------------------------------------------------------

-- Off the log, and the operator's to erase. An agent's id of ERC-8004 stands here only once the chain
-- has shown that the account owns the agent or is its wallet: at `agent_checked_ms`.
CREATE TABLE operator_profiles (
    account address PRIMARY KEY,
    display_name text NOT NULL CHECK (octet_length(display_name) BETWEEN 1 AND 128),
    contact text CHECK (octet_length(contact) BETWEEN 1 AND 512),
    capabilities text[] NOT NULL CHECK (
        cardinality(capabilities) <= 32 AND octet_length(array_to_string(capabilities, '')) <= 4096),
    agent_id numeric(78, 0) CHECK (agent_id >= 0),
    agent_checked_ms bigint,
    updated_ms bigint NOT NULL,
    is_public boolean NOT NULL DEFAULT false,
    CHECK ((agent_id IS NULL) = (agent_checked_ms IS NULL))
);
ALTER TABLE operator_profiles ENABLE ROW LEVEL SECURITY;
ALTER TABLE operator_profiles FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON operator_profiles TO tallystick_api;
CREATE POLICY self ON operator_profiles FOR SELECT TO tallystick_api
    USING (account = (SELECT current_account()));
CREATE POLICY writer ON operator_profiles FOR INSERT TO tallystick_api
    WITH CHECK (account = (SELECT current_account()) AND key_may('operator:profile', NULL));
CREATE POLICY changer ON operator_profiles FOR UPDATE TO tallystick_api
    USING (account = (SELECT current_account()) AND key_may('operator:profile', NULL));
CREATE POLICY eraser ON operator_profiles FOR DELETE TO tallystick_api
    USING (account = (SELECT current_account()) AND key_may('operator:profile', NULL));

-- The part of a profile that owners of surfaces read; its contact only those to whom the operator proposes.
GRANT SELECT ON surfaces, proposals TO tallystick_definer;
CREATE POLICY reader ON operator_profiles FOR SELECT TO tallystick_definer USING (true);
CREATE POLICY matcher ON proposals FOR SELECT TO tallystick_definer USING (true);
GRANT SELECT ON operator_profiles TO tallystick_definer;
CREATE FUNCTION public_profile(of_log bytea, of_account text) RETURNS TABLE (
    display_name text, contact text, capabilities text[], agent_id numeric, agent_checked_ms bigint,
    updated_ms bigint, is_public boolean
) LANGUAGE sql STABLE SECURITY DEFINER ROWS 1 SET search_path = public, pg_temp
BEGIN ATOMIC
    SELECT p.display_name,
        CASE WHEN EXISTS (
            SELECT FROM proposals o
            WHERE o.log_id = of_log AND o.operator = p.account AND o.owner = current_account()
        ) THEN p.contact END,
        p.capabilities, p.agent_id, p.agent_checked_ms, p.updated_ms, p.is_public
    FROM operator_profiles p
    WHERE p.account = of_account
        AND (key_may('owner:read', NULL) OR key_may('owner:review', NULL))
        AND EXISTS (
            SELECT FROM surfaces s WHERE s.log_id = of_log AND s.owner = (SELECT current_word()));
END;

-- The part of a public profile that all the world reads: its contact stays out.
CREATE FUNCTION carded_profile(of_account text) RETURNS TABLE (
    display_name text, capabilities text[], agent_id numeric
) LANGUAGE sql STABLE SECURITY DEFINER ROWS 1 SET search_path = public, pg_temp
BEGIN ATOMIC
    SELECT p.display_name, p.capabilities, p.agent_id
    FROM operator_profiles p WHERE p.account = of_account AND p.is_public;
END;

-- An operator's private memory ----------------------------------------------------------------------

-- Entries by key, on a surface. One that names a lead goes with the lead's identity, when that is
-- erased: the reference sees to it, whoever erases and however.
ALTER TABLE lead_identities ADD UNIQUE (log_id, surface, lead);
CREATE TABLE operator_memory (
    log_id word NOT NULL,
    account address NOT NULL,
    surface word NOT NULL,
    key text COLLATE "C" NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 128),
    value json NOT NULL CHECK (octet_length(value::text) <= 8192),
    bytes integer NOT NULL CHECK (bytes = octet_length(key) + octet_length(value::text)),
    lead word,
    updated_ms bigint NOT NULL,
    PRIMARY KEY (log_id, account, surface, key),
    FOREIGN KEY (log_id, surface, lead) REFERENCES lead_identities (log_id, surface, lead)
        ON DELETE CASCADE
);
CREATE INDEX operator_memory_by_lead ON operator_memory (log_id, surface, lead)
    WHERE lead IS NOT NULL;
ALTER TABLE operator_memory ENABLE ROW LEVEL SECURITY;
ALTER TABLE operator_memory FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON operator_memory TO tallystick_api;
CREATE POLICY self ON operator_memory TO tallystick_api USING (
    account = (SELECT current_account()) AND (SELECT key_may('operator:memory', NULL))
    AND ((SELECT current_surfaces()) IS NULL OR surface = ANY ((SELECT current_surfaces())::bytea[])));

GRANT EXECUTE ON FUNCTION public_profile, carded_profile TO tallystick_api;
GRANT CREATE ON SCHEMA public TO tallystick_definer;
ALTER FUNCTION public_profile OWNER TO tallystick_definer;
ALTER FUNCTION carded_profile OWNER TO tallystick_definer;
REVOKE CREATE ON SCHEMA public FROM tallystick_definer;
