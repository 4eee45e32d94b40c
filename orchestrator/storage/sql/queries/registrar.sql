-- Queries of the registrar, which decides sign-ins and mints the keys of wallets.

-- name: waiting
-- The sign-ins that wait, oldest first.
SELECT secret_hash, message, signature, name, expires_ms, clock_ms() AS now_ms
FROM sign_ins
WHERE code IS NULL AND created_ms > clock_ms() - %(patience_ms)s
ORDER BY created_ms, secret_hash LIMIT %(limit)s;

-- name: take
-- Take a sign-in to grant it; no row changed if it is gone or was refused.
DELETE FROM sign_ins WHERE secret_hash = %(secret_hash)s AND code IS NULL;

-- name: use_nonce
-- Use up a nonce that was given out, was not used and outlives the message; no row if there is none.
UPDATE signin_nonces SET used_ms = clock_ms()
WHERE nonce = %(nonce)s AND used_ms IS NULL AND expires_ms > clock_ms()
    AND expires_ms >= %(until_ms)s
RETURNING nonce;

-- name: add_account
-- Remember that an account has signed in.
INSERT INTO accounts (account, created_ms) VALUES (%(account)s, clock_ms()) ON CONFLICT DO NOTHING;

-- name: mint
-- Mint a wallet's key, or by a parent the key of a client.
INSERT INTO api_keys (key, account, secret_hash, parent, name, scopes, created_ms, expires_ms)
VALUES (%(key)s, %(account)s, %(secret_hash)s, %(parent)s, %(name)s, %(scopes)s, clock_ms(),
    least(%(expires_ms)s, clock_ms() + %(most_ms)s));

-- name: refuse
-- Say why a sign-in is refused.
UPDATE sign_ins SET code = %(code)s, detail = %(detail)s
WHERE secret_hash = %(secret_hash)s AND code IS NULL;

-- name: sweep
-- Forget sign-ins that were decided, or not answered, long enough ago.
DELETE FROM sign_ins WHERE secret_hash IN (
    SELECT secret_hash FROM sign_ins WHERE created_ms <= clock_ms() - %(kept_ms)s LIMIT 10000);
