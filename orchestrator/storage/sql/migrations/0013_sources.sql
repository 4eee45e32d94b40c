-- What another system signs its reports with. Stripe shows no key: it signs each report with a secret
-- that it shares with the surface's owner. So the owner makes a delegate's key for it, which is kept here
-- with that secret, and the database hands it out to the bearer of a signature, for that report.

-- The secret stands as the two padded blocks of its HMAC-SHA256. No login that serves people reads them
-- or the key; the function below does.
CREATE TABLE source_secrets (
    log_id word NOT NULL,
    surface word NOT NULL,
    source text NOT NULL CHECK (source = 'stripe'),
    account address NOT NULL,
    key word NOT NULL,
    secret word NOT NULL,
    inner_pad bytea NOT NULL CHECK (octet_length(inner_pad) = 64),
    outer_pad bytea NOT NULL CHECK (octet_length(outer_pad) = 64),
    PRIMARY KEY (log_id, surface, source)
);
ALTER TABLE source_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE source_secrets FORCE ROW LEVEL SECURITY;
GRANT SELECT (log_id, surface, source, account, key), INSERT, DELETE ON source_secrets
    TO tallystick_api;
-- By the wallet's own key, which alone makes delegates.
CREATE POLICY self ON source_secrets TO tallystick_api USING (
    account = (SELECT current_account()) AND (SELECT is_wallet_key())
    AND key_may('owner:report', surface))
    WITH CHECK (
        account = (SELECT current_account()) AND (SELECT is_wallet_key())
        AND key_may('owner:report', surface)
        AND EXISTS (
            SELECT FROM surfaces s
            WHERE s.log_id = source_secrets.log_id AND s.surface = source_secrets.surface
                AND s.owner = (SELECT current_word())));

GRANT SELECT ON source_secrets TO tallystick_definer;
CREATE POLICY reader ON source_secrets FOR SELECT TO tallystick_definer USING (true);
-- The secret of the key for a report that was signed at most 300 s from now, or NULL. What is compared
-- are hashes of signatures, so that the time it takes says nothing of the right one.
CREATE FUNCTION signed_key(
    of_log bytea, on_surface bytea, signed_s bigint, report bytea, signature_hashes bytea[]
) RETURNS bytea LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
BEGIN ATOMIC
    SELECT s.secret::bytea FROM source_secrets s
    WHERE s.log_id = of_log AND s.surface = on_surface AND s.source = 'stripe'
        AND abs(clock_ms() / 1000 - signed_s) <= 300
        AND sha256(sha256(s.outer_pad || sha256(
            s.inner_pad || convert_to(signed_s::text || '.', 'UTF8') || report
        ))) = ANY (signature_hashes);
END;
GRANT EXECUTE ON FUNCTION signed_key TO tallystick_api;
GRANT CREATE ON SCHEMA public TO tallystick_definer;
ALTER FUNCTION signed_key OWNER TO tallystick_definer;
REVOKE CREATE ON SCHEMA public FROM tallystick_definer;
