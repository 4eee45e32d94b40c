-- Webhooks: what the log says, sent to URLs of accounts. The log is the queue: a webhook has a cursor in
-- it, and only a few deliveries that wait.

-- The places up to which the courier has read a log, and its offers. What it reads goes to the webhooks that have all
-- before it.
CREATE TABLE couriers (
    log_id word PRIMARY KEY,
    cursor bigint NOT NULL,
    offer bigint NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON couriers TO tallystick_worker;

-- Tenant. `audience` is the side on which its account hears of surfaces, of one or of all. `cursor` is
-- the last entry that was looked at for it, NULL while it has all that the courier has read, and `offer`
-- the same of offers. `due_ms` is when it is to be looked at next.
CREATE TABLE webhooks (
    webhook word PRIMARY KEY,
    log_id word NOT NULL,
    account address NOT NULL,
    word word NOT NULL GENERATED ALWAYS AS (
        decode(repeat('0', 24) || substr(account, 3), 'hex')) STORED,
    audience text NOT NULL CHECK (audience IN ('owner', 'operator')),
    surface word,
    events text[] NOT NULL CHECK (
        cardinality(events) BETWEEN 1 AND 20 AND octet_length(array_to_string(events, '')) <= 1024),
    url text NOT NULL CHECK (octet_length(url) BETWEEN 1 AND 1024),
    created_ms bigint NOT NULL,
    cursor bigint,
    offer bigint,
    due_ms bigint,
    failing_since_ms bigint,
    disabled_ms bigint,
    reason text CHECK ((reason IS NULL) = (disabled_ms IS NULL) AND octet_length(reason) <= 128)
);
CREATE INDEX webhooks_by_account ON webhooks (account, log_id, created_ms, webhook);
CREATE INDEX webhooks_by_word ON webhooks (log_id, word);
CREATE INDEX webhooks_due ON webhooks (log_id, due_ms) WHERE due_ms IS NOT NULL;

-- The secrets that messages are signed with, two at most. The worker signs with those that have not
-- expired; no login that serves people reads one.
CREATE TABLE webhook_secrets (
    webhook word NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    secret bytea NOT NULL CHECK (octet_length(secret) = 32),
    created_ms bigint NOT NULL,
    expires_ms bigint,
    PRIMARY KEY (webhook, secret)
);

-- Messages that are on their way to a webhook, or were: at most one message about an entry, or about an offer, whose
-- `position` is minus its number. `next_ms` is when it is tried next, `status` and `fault` what came of
-- the last try.
CREATE TABLE deliveries (
    webhook word NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    position bigint NOT NULL,
    event text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'dead', 'moot')),
    tries integer NOT NULL DEFAULT 0,
    created_ms bigint NOT NULL,
    next_ms bigint,
    tried_ms bigint,
    status integer,
    fault text CHECK (octet_length(fault) <= 200),
    PRIMARY KEY (webhook, position),
    CHECK ((next_ms IS NULL) = (state <> 'waiting'))
);
CREATE INDEX deliveries_waiting ON deliveries (webhook, next_ms) WHERE state = 'waiting';

DO $$
DECLARE
    tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['webhooks', 'webhook_secrets', 'deliveries'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format(
            'CREATE POLICY worker ON %I TO tallystick_worker USING (true) WITH CHECK (true)',
            tenant_table);
    END LOOP;
END $$;
GRANT SELECT, UPDATE (cursor, offer, due_ms, failing_since_ms, disabled_ms, reason) ON webhooks
    TO tallystick_worker;
GRANT SELECT ON webhook_secrets TO tallystick_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON deliveries TO tallystick_worker;

-- A key that may hear what an account hears may list its webhooks. To make, change or remove one takes the
-- wallet's own key: a webhook that a stolen delegate left behind would outlive it.
CREATE FUNCTION may_hear(audience text, surface bytea) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = public, pg_temp
BEGIN ATOMIC
    SELECT key_may(audience || ':read', surface)
        AND (surface IS NOT NULL OR current_surfaces() IS NULL);
END;
GRANT EXECUTE ON FUNCTION may_hear TO tallystick_api;
GRANT SELECT, INSERT (
    webhook, log_id, account, audience, surface, events, url, created_ms
), UPDATE (events, url, due_ms, failing_since_ms, disabled_ms, reason), DELETE ON webhooks
    TO tallystick_api;
CREATE POLICY reader ON webhooks FOR SELECT TO tallystick_api
    USING (account = (SELECT current_account()) AND may_hear(audience, surface));
CREATE POLICY maker ON webhooks FOR INSERT TO tallystick_api WITH CHECK (
    account = (SELECT current_account()) AND (SELECT is_wallet_key())
    AND may_hear(audience, surface) AND created_ms = (SELECT clock_ms())
    AND (audience = 'operator' OR key_may('owner:answer', surface)));
CREATE POLICY changer ON webhooks FOR UPDATE TO tallystick_api
    USING (account = (SELECT current_account()) AND (SELECT is_wallet_key()))
    WITH CHECK (account = (SELECT current_account()));
CREATE POLICY remover ON webhooks FOR DELETE TO tallystick_api
    USING (account = (SELECT current_account()) AND (SELECT is_wallet_key()));

-- An account has no more than so many.
CREATE FUNCTION bound_webhooks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- Two at once must not both find the last place free.
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.account, 14));
    IF ((SELECT count(*) FROM webhooks w WHERE w.account = NEW.account)
        < (SELECT i.webhooks FROM inbox_limits i)) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'this account has as many webhooks as it may'
            USING ERRCODE = 'program_limit_exceeded';
    END IF;
    RETURN NEW;
END $$;
GRANT SELECT ON webhooks, deliveries TO tallystick_definer;
CREATE POLICY bounder ON webhooks FOR SELECT TO tallystick_definer USING (true);
CREATE POLICY bounder ON deliveries FOR SELECT TO tallystick_definer USING (true);

GRANT SELECT (webhook, created_ms, expires_ms), INSERT, UPDATE (expires_ms), DELETE
    ON webhook_secrets TO tallystick_api;
CREATE POLICY maker ON webhook_secrets TO tallystick_api
    USING (
        (SELECT is_wallet_key())
        AND EXISTS (SELECT FROM webhooks w WHERE w.webhook = webhook_secrets.webhook))
    WITH CHECK (
        (SELECT is_wallet_key())
        AND EXISTS (SELECT FROM webhooks w WHERE w.webhook = webhook_secrets.webhook));

-- A delivery that is over may be sent once more, as if it were new.
GRANT SELECT, UPDATE (state, tries, next_ms) ON deliveries TO tallystick_api;
CREATE POLICY reader ON deliveries FOR SELECT TO tallystick_api
    USING (EXISTS (SELECT FROM webhooks w WHERE w.webhook = deliveries.webhook));
CREATE POLICY sender ON deliveries FOR UPDATE TO tallystick_api
    USING (
        (SELECT is_wallet_key())
        AND EXISTS (SELECT FROM webhooks w WHERE w.webhook = deliveries.webhook))
    WITH CHECK (state = 'waiting' AND tries = 0 AND next_ms = (SELECT clock_ms()));

-- Offers are numbered in the order in which others can see them, so that the courier can follow them as
-- it does the log.
ALTER TABLE offers ADD number bigint NOT NULL;
CREATE UNIQUE INDEX offers_by_number ON offers (log_id, number);
GRANT SELECT ON offers TO tallystick_worker;
CREATE POLICY worker ON offers FOR SELECT TO tallystick_worker USING (true);
CREATE FUNCTION number_offer() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- Held until the transaction ends: a lower number never comes to light after a higher one.
    PERFORM pg_advisory_xact_lock(hashtextextended(encode(NEW.log_id, 'hex'), 15));
    SELECT coalesce(max(o.number), 0) + 1 INTO NEW.number FROM offers o WHERE o.log_id = NEW.log_id;
    RETURN NEW;
END $$;

-- The owner's part of an action that it is to carry out: its own id of the lead, and the
-- parameters, which are the requesting operator's own words of this lead: the log shows every commitment,
-- and an action can name any. No row once the lead is erased, or while no webhook of the owner waits.
GRANT SELECT ON private_payloads TO tallystick_definer;
CREATE POLICY action_reader ON private_payloads FOR SELECT TO tallystick_definer USING (
    EXISTS (
        SELECT FROM actions a
        WHERE a.log_id = private_payloads.log_id AND a.commitment = private_payloads.commitment));
CREATE FUNCTION requested_action(of_log bytea, at_position bigint, for_webhook bytea) RETURNS TABLE (
    state text, expires_ms bigint, external_id text, parameters bytea
) LANGUAGE sql STABLE SECURITY DEFINER ROWS 1 SET search_path = public, pg_temp
BEGIN ATOMIC
    SELECT a.state, a.expires_ms, i.external_id, p.body
    FROM deliveries d
    JOIN webhooks w ON w.webhook = d.webhook AND w.audience = 'owner' AND w.disabled_ms IS NULL
    JOIN actions a ON a.log_id = w.log_id AND a.position = d.position
    JOIN surfaces s ON s.log_id = a.log_id AND s.surface = a.surface AND s.owner = w.word
    JOIN private_payloads p ON p.log_id = a.log_id AND p.commitment = a.commitment
        AND p.surface = a.surface AND p.lead = a.lead
        AND p.account = '0x' || encode(substring(a.operator FROM 13), 'hex')
    LEFT JOIN lead_identities i
        ON i.log_id = a.log_id AND i.surface = a.surface AND i.lead = a.lead
    WHERE w.log_id = of_log AND d.position = at_position AND d.webhook = for_webhook
        AND d.state = 'waiting';
END;
GRANT EXECUTE ON FUNCTION requested_action TO tallystick_worker;
CREATE TRIGGER bounded BEFORE INSERT ON webhooks FOR EACH ROW EXECUTE FUNCTION bound_webhooks();
CREATE TRIGGER numbered BEFORE INSERT ON offers FOR EACH ROW EXECUTE FUNCTION number_offer();

GRANT CREATE ON SCHEMA public TO tallystick_definer;
ALTER FUNCTION bound_webhooks OWNER TO tallystick_definer;
ALTER FUNCTION number_offer OWNER TO tallystick_definer;
ALTER FUNCTION requested_action OWNER TO tallystick_definer;
REVOKE CREATE ON SCHEMA public FROM tallystick_definer;
