-- Authorizations (OAuth): a client's request, what a wallet signed of it, and the code that the client
-- turns into a key. A row lives for minutes. It holds hashes of what its parties show, and is seen by who
-- shows it: at first the browser's request, then the client's code.

CREATE TABLE authorizations (
    request_hash word PRIMARY KEY,
    -- Of the cookie of the browser that began it.
    browser_hash word NOT NULL,
    client text NOT NULL CHECK (octet_length(client) BETWEEN 1 AND 1200),
    redirect_uri text NOT NULL CHECK (octet_length(redirect_uri) BETWEEN 1 AND 512),
    state text CHECK (octet_length(state) <= 2048),
    challenge text NOT NULL CHECK (challenge ~ '^[A-Za-z0-9_-]{43}$'),
    scopes text[] NOT NULL CHECK (
        cardinality(scopes) BETWEEN 1 AND 32 AND octet_length(array_to_string(scopes, '')) <= 1024),
    nonce text NOT NULL CHECK (octet_length(nonce) <= 128),
    created_ms bigint NOT NULL,
    expires_ms bigint NOT NULL,
    -- From the consent until the exchange.
    code_hash word UNIQUE,
    code_expires_ms bigint,
    message text CHECK (octet_length(message) <= 8192),
    signature bytea CHECK (octet_length(signature) <= 16384),
    -- When the code was tried, and the hash of the secret of the key that was asked for then.
    used_ms bigint,
    secret_hash word,
    CHECK ((code_hash IS NULL) = (code_expires_ms IS NULL)),
    CHECK (used_ms IS NULL OR code_hash IS NOT NULL)
);
CREATE INDEX authorizations_by_expiry ON authorizations (expires_ms);
ALTER TABLE authorizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE authorizations FORCE ROW LEVEL SECURITY;

GRANT SELECT (created_ms, code_hash, used_ms, secret_hash) ON authorizations TO tallystick_definer;
CREATE POLICY definer ON authorizations FOR SELECT TO tallystick_definer USING (true);
CREATE FUNCTION authorizations_are_full(most bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
BEGIN ATOMIC
    SELECT EXISTS (SELECT created_ms FROM authorizations OFFSET most - 1);
END;

GRANT SELECT, DELETE, UPDATE (code_hash, code_expires_ms, message, signature, used_ms, secret_hash)
    ON authorizations TO tallystick_api;
GRANT INSERT (request_hash, browser_hash, client, redirect_uri, state, challenge, scopes, nonce,
    created_ms, expires_ms) ON authorizations TO tallystick_api;
CREATE POLICY asker ON authorizations FOR INSERT TO tallystick_api WITH CHECK (
    request_hash = (SELECT sha256(presented())) AND created_ms = (SELECT clock_ms())
    AND expires_ms <= created_ms + 3600000 AND NOT (SELECT authorizations_are_full(50000)));
CREATE POLICY party ON authorizations FOR SELECT TO tallystick_api USING (
    (SELECT sha256(presented())) IN (request_hash, code_hash));
-- The request gets one code, or goes; a code is tried once.
CREATE POLICY consenter ON authorizations FOR UPDATE TO tallystick_api USING (
    request_hash = (SELECT sha256(presented())) AND code_hash IS NULL)
    WITH CHECK (request_hash = (SELECT sha256(presented())) AND used_ms IS NULL);
CREATE POLICY refuser ON authorizations FOR DELETE TO tallystick_api USING (
    request_hash = (SELECT sha256(presented())) AND code_hash IS NULL);
CREATE POLICY exchanger ON authorizations FOR UPDATE TO tallystick_api USING (
    code_hash = (SELECT sha256(presented())) AND used_ms IS NULL)
    WITH CHECK (code_hash = (SELECT sha256(presented())) AND used_ms IS NOT NULL);
GRANT SELECT (request_hash, expires_ms), DELETE ON authorizations TO tallystick_worker;
CREATE POLICY sweeper ON authorizations TO tallystick_worker USING (true) WITH CHECK (false);

-- A code that is tried again was stolen by one of the two who tried it: what was issued by it ends. The
-- sign-in goes first. If the registrar is granting it, this waits, and then finds the key.
CREATE FUNCTION revoke_issued() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    issued bytea := (
        SELECT a.secret_hash FROM authorizations a
        WHERE a.code_hash = sha256(presented()) AND a.used_ms IS NOT NULL);
BEGIN
    DELETE FROM sign_ins WHERE secret_hash = issued;
    UPDATE api_keys SET revoked_ms = clock_ms() WHERE secret_hash = issued AND revoked_ms IS NULL;
END $$;
GRANT SELECT (secret_hash), DELETE ON sign_ins TO tallystick_definer;
CREATE POLICY ender ON sign_ins FOR DELETE TO tallystick_definer USING (true);

-- A client's key is a delegate's: it makes no keys and ends none but itself. Its parent is a wallet's key
-- whose secret no one has, by which the wallet ends it. The registrar makes both, from one signature.
CREATE FUNCTION is_wallets_of(of_key bytea, of_account text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM api_keys k
        WHERE k.key = of_key AND k.account = of_account AND k.parent IS NULL);
END;
ALTER POLICY minter ON api_keys WITH CHECK (
    (parent IS NULL OR is_wallets_of(parent, account))
    AND revoked_ms IS NULL AND created_ms = (SELECT clock_ms())
    AND expires_ms <= (SELECT clock_ms()) + 31 * 86400000::bigint);

GRANT EXECUTE ON FUNCTION authorizations_are_full, revoke_issued TO tallystick_api;
GRANT EXECUTE ON FUNCTION is_wallets_of TO tallystick_registrar;
GRANT CREATE ON SCHEMA public TO tallystick_definer;
ALTER FUNCTION authorizations_are_full OWNER TO tallystick_definer;
ALTER FUNCTION revoke_issued OWNER TO tallystick_definer;
ALTER FUNCTION is_wallets_of OWNER TO tallystick_definer;
REVOKE CREATE ON SCHEMA public FROM tallystick_definer;
