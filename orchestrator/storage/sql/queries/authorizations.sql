-- Queries of authorizations (OAuth). A transaction presents the request at first, and then the code.

-- name: are_full
-- True if no more authorizations may be begun.
SELECT authorizations_are_full(50000) AS is_full;

-- name: begin
-- Begin an authorization by the request that this transaction presents, with a nonce to sign in by.
WITH given AS (
    INSERT INTO signin_nonces (nonce, expires_ms) VALUES (%(nonce)s, clock_ms() + %(ttl_ms)s)
)
INSERT INTO authorizations (request_hash, browser_hash, client, redirect_uri, state, challenge, scopes,
    nonce, created_ms, expires_ms)
VALUES (sha256(presented()), sha256(%(browser)s), %(client)s, %(redirect_uri)s, %(state)s,
    %(challenge)s, %(scopes)s, %(nonce)s, clock_ms(), clock_ms() + %(ttl_ms)s);

-- name: asked
-- The request that this transaction presents, from the browser that began it, while it
-- has no answer.
SELECT request_hash, client, redirect_uri, state, scopes, nonce, created_ms, expires_ms
FROM authorizations
WHERE request_hash = sha256(presented()) AND browser_hash = sha256(%(browser)s) AND code_hash IS NULL
    AND expires_ms > clock_ms();

-- name: consent
-- Keep what the wallet signed, and the hash of the code; no row changed if the request has an answer.
UPDATE authorizations SET message = %(message)s, signature = %(signature)s,
    code_hash = sha256(%(code)s), code_expires_ms = least(expires_ms, clock_ms() + %(ttl_ms)s)
WHERE request_hash = sha256(presented()) AND browser_hash = sha256(%(browser)s) AND code_hash IS NULL
    AND expires_ms > clock_ms();

-- name: decline
-- End a request that its person declines.
DELETE FROM authorizations
WHERE request_hash = sha256(presented()) AND browser_hash = sha256(%(browser)s) AND code_hash IS NULL;

-- name: granted
-- The grant of the code that this transaction presents.
SELECT client, redirect_uri, challenge, scopes, message, signature,
    used_ms IS NOT NULL AS is_used, code_expires_ms <= clock_ms() AS is_expired
FROM authorizations WHERE code_hash = sha256(presented());

-- name: use
-- Use the code up, whatever comes of it; no row changed if it was tried before.
UPDATE authorizations SET used_ms = clock_ms(), secret_hash = sha256(%(secret)s), message = NULL,
    signature = NULL
WHERE code_hash = sha256(presented()) AND used_ms IS NULL;

-- name: revoke_issued
-- End the key that was issued by the code which this transaction presents.
SELECT revoke_issued();

-- name: sweep
-- Forget authorizations that have expired (for the worker).
DELETE FROM authorizations WHERE request_hash IN (
    SELECT request_hash FROM authorizations WHERE expires_ms <= clock_ms() LIMIT 10000);
