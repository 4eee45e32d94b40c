-- Confirmations of calls that cannot be undone, which a client's model must repeat: the SHA-256 of
-- the token that it was given, and of the call. A key has twenty at most, for minutes.
CREATE TABLE confirmations (
    token_hash word PRIMARY KEY,
    key word NOT NULL REFERENCES api_keys (key) ON DELETE CASCADE,
    digest word NOT NULL,
    expires_ms bigint NOT NULL
);
CREATE INDEX confirmations_by_key ON confirmations (key, expires_ms);
ALTER TABLE confirmations ENABLE ROW LEVEL SECURITY;
ALTER TABLE confirmations FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, DELETE ON confirmations TO tallystick_api;
CREATE POLICY self ON confirmations TO tallystick_api
    USING (key = (SELECT current_key())) WITH CHECK (key = (SELECT current_key()));
