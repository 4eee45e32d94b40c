-- The secrets by which other systems sign their reports. Stripe shows no key, and Segment need not: each signs by a
-- secret that it shares with the surface's owner. So the owner makes a delegate's key for it, which is kept
-- here with that secret, and the database hands it out to the bearer of a signature, for that report.

-- The secret stands as the two padded blocks of its HMAC: SHA-256 for Stripe, SHA-1 for Segment. No
-- login that serves people reads them or the key; the functions below do.
CREATE TABLE source_secrets (
    log_id word NOT NULL,
    surface word NOT NULL,
    source text NOT NULL CHECK (source IN ('segment', 'stripe')),
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
-- A delegate that may report sees that there is a secret, since without a signature it is refused.
CREATE POLICY reporter ON source_secrets FOR SELECT TO tallystick_api USING (
    account = (SELECT current_account()) AND key_may('owner:report', surface));

GRANT SELECT ON source_secrets TO tallystick_definer;
CREATE POLICY reader ON source_secrets FOR SELECT TO tallystick_definer USING (true);
-- The secret of the key for a report that Stripe signed at most 300 s from now, or NULL. What is
-- compared are hashes of signatures, so that the time it takes says nothing of the right one.
CREATE FUNCTION stripe_key(
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

-- SHA-1 (RFC 3174), which PostgreSQL has in none of its own functions. It founds Segment's HMAC alone,
-- which stays sound although collisions of SHA-1 can be made.
CREATE FUNCTION sha1(message bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    size CONSTANT integer := octet_length(message);
    padded CONSTANT bytea := message || '\x80'::bytea
        || decode(repeat('00', (119 - size % 64) % 64), 'hex') || int8send(size * 8::bigint);
    w bigint[] := array_fill(0::bigint, ARRAY[80], ARRAY[0]);
    h0 bigint := x'67452301'::bigint;
    h1 bigint := x'efcdab89'::bigint;
    h2 bigint := x'98badcfe'::bigint;
    h3 bigint := x'10325476'::bigint;
    h4 bigint := x'c3d2e1f0'::bigint;
    a bigint; b bigint; c bigint; d bigint; e bigint; n bigint;
    at integer := 0;
BEGIN
    WHILE at < octet_length(padded) LOOP
        FOR t IN 0 .. 15 LOOP
            w[t] := get_byte(padded, at) * 16777216::bigint + get_byte(padded, at + 1) * 65536
                + get_byte(padded, at + 2) * 256 + get_byte(padded, at + 3);
            at := at + 4;
        END LOOP;
        FOR t IN 16 .. 79 LOOP
            n := w[t - 3] # w[t - 8] # w[t - 14] # w[t - 16];
            w[t] := ((n << 1) | (n >> 31)) & 4294967295;
        END LOOP;
        a := h0; b := h1; c := h2; d := h3; e := h4;
        FOR t IN 0 .. 79 LOOP
            IF t < 20 THEN
                n := (d # (b & (c # d))) + 1518500249;
            ELSIF t < 40 THEN
                n := (b # c # d) + 1859775393;
            ELSIF t < 60 THEN
                n := ((b & c) | (d & (b | c))) + 2400959708;
            ELSE
                n := (b # c # d) + 3395469782;
            END IF;
            n := ((((a << 5) | (a >> 27)) & 4294967295) + n + e + w[t]) & 4294967295;
            e := d; d := c; c := ((b << 30) | (b >> 2)) & 4294967295; b := a; a := n;
        END LOOP;
        h0 := (h0 + a) & 4294967295; h1 := (h1 + b) & 4294967295; h2 := (h2 + c) & 4294967295;
        h3 := (h3 + d) & 4294967295; h4 := (h4 + e) & 4294967295;
    END LOOP;
    RETURN substr(int8send(h0), 5) || substr(int8send(h1), 5) || substr(int8send(h2), 5)
        || substr(int8send(h3), 5) || substr(int8send(h4), 5);
END $$;

-- The secret of the key for a report that Segment signed, or NULL. Its signature has no time: the same
-- report is good for as long as the secret, and counts once, by the ids of its messages. What is longer
-- than any of its messages is not hashed.
CREATE FUNCTION segment_key(
    of_log bytea, on_surface bytea, report bytea, signature_hash bytea
) RETURNS bytea LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
BEGIN ATOMIC
    SELECT s.secret::bytea FROM source_secrets s
    WHERE s.log_id = of_log AND s.surface = on_surface AND s.source = 'segment'
        AND CASE WHEN octet_length(report) <= 65536 THEN
            sha256(sha1(s.outer_pad || sha1(s.inner_pad || report))) = signature_hash
        END;
END;
GRANT EXECUTE ON FUNCTION stripe_key, segment_key TO tallystick_api;
GRANT CREATE ON SCHEMA public TO tallystick_definer;
ALTER FUNCTION stripe_key OWNER TO tallystick_definer;
ALTER FUNCTION sha1 OWNER TO tallystick_definer;
ALTER FUNCTION segment_key OWNER TO tallystick_definer;
REVOKE CREATE ON SCHEMA public FROM tallystick_definer;
