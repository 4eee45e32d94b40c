-- Queries of webhooks and their deliveries.

-- name: begin_courier
-- Have the courier of a log begin behind its newest entry and offer, unless it has begun.
INSERT INTO couriers (log_id, cursor, offer)
SELECT %(log_id)s::bytea, coalesce(max(size), 0) - 1,
    (SELECT coalesce(max(number), 0) FROM offers WHERE log_id = %(log_id)s::bytea)
FROM checkpoints WHERE log_id = %(log_id)s::bytea
ON CONFLICT (log_id) DO NOTHING;

-- name: courier
-- The positions up to which the courier has read.
SELECT cursor, offer FROM couriers WHERE log_id = %(log_id)s;

-- name: lock_courier
-- The positions up to which the courier has read; no other reads on until this transaction ends.
SELECT cursor, offer FROM couriers WHERE log_id = %(log_id)s FOR UPDATE;

-- name: put_courier
-- Keep how far the courier has read.
UPDATE couriers SET cursor = coalesce(%(cursor)s, cursor), offer = coalesce(%(offer)s, offer)
WHERE log_id = %(log_id)s;

-- name: matched
-- Entries with the webhooks that they go to: those that have all before them, or to this one. An answer to a
-- request is about the operator that asked.
SELECT w.webhook, t.position, t.kind
FROM jsonb_to_recordset(%(rows)s::jsonb) AS t (
    position bigint, kind text, surface text, operator text, request bigint)
LEFT JOIN surfaces s ON s.log_id = %(log_id)s AND s.surface = decode(t.surface, 'hex')
LEFT JOIN actions a ON a.log_id = %(log_id)s AND a.position = t.request
JOIN webhooks w ON w.log_id = %(log_id)s
    AND w.word = ANY (ARRAY[s.owner, a.operator, decode(t.operator, 'hex')]::bytea[])
    AND w.word = CASE w.audience
        WHEN 'owner' THEN s.owner ELSE coalesce(a.operator, decode(t.operator, 'hex')) END
WHERE t.kind = ANY (w.events) AND (w.surface IS NULL OR w.surface = decode(t.surface, 'hex'))
    AND w.disabled_ms IS NULL
    AND CASE WHEN %(webhook)s::bytea IS NULL THEN w.cursor IS NULL ELSE w.webhook = %(webhook)s END
ORDER BY w.webhook, t.position
FOR UPDATE OF w;

-- name: last_offer
-- The number of the last of the next offers.
SELECT max(number) AS number FROM (
    SELECT number FROM offers WHERE log_id = %(log_id)s AND number > %(after)s
    ORDER BY number LIMIT %(limit)s
) AS next;

-- name: matched_offers
-- Offers with the webhooks that they go to: those that have all before them, or to this one. An offer is told
-- to operators of its level.
SELECT w.webhook, -o.number AS position, 'offer.published' AS kind
FROM offers o
JOIN standings t ON t.log_id = o.log_id AND t.surface = o.surface AND t.level >= o.level
    AND NOT t.is_suspended
JOIN webhooks w ON w.log_id = o.log_id AND w.word = t.operator AND w.audience = 'operator'
WHERE o.log_id = %(log_id)s AND o.number > %(after)s AND o.number <= %(until)s
    AND 'offer.published' = ANY (w.events) AND (w.surface IS NULL OR w.surface = o.surface)
    AND w.disabled_ms IS NULL
    AND CASE WHEN %(webhook)s::bytea IS NULL THEN w.offer IS NULL ELSE w.webhook = %(webhook)s END
ORDER BY w.webhook, o.number
FOR UPDATE OF w;

-- name: offer
-- An offer by its number.
SELECT offer, surface, terms, lasts_s, first_budget_units, budget_units, places, level, ends_ms,
    created_ms, withdrawn_ms IS NOT NULL OR ends_ms <= clock_ms() AS is_over
FROM offers WHERE log_id = %(log_id)s AND number = %(number)s;

-- name: lock
-- The cursors of a webhook that is not disabled; nothing changes them until this transaction ends.
SELECT cursor, offer FROM webhooks
WHERE webhook = %(webhook)s AND disabled_ms IS NULL
FOR UPDATE;

-- name: waiting
-- The number of deliveries that wait, of each of these webhooks.
SELECT webhook, count(*) FROM deliveries
WHERE webhook = ANY (%(webhooks)s::bytea[]) AND state = 'waiting'
GROUP BY webhook;

-- name: put_delivery
-- Have an entry told to a webhook, now.
INSERT INTO deliveries (webhook, position, event, created_ms, next_ms)
VALUES (%(webhook)s, %(position)s, %(event)s, clock_ms(), clock_ms())
ON CONFLICT (webhook, position) DO NOTHING;

-- name: put_cursor
-- Keep the last entry that was looked at for a webhook; NULL when it has all that the courier has read.
UPDATE webhooks SET cursor = %(cursor)s::bigint WHERE webhook = %(webhook)s;

-- name: put_offer
-- Keep the number of the last offer that was looked at for a webhook; NULL when it has all.
UPDATE webhooks SET offer = %(cursor)s::bigint WHERE webhook = %(webhook)s;

-- name: put_due
-- Keep when a webhook is to be looked at next: when a delivery is due, or now if it is behind and has
-- room.
UPDATE webhooks AS w SET due_ms = CASE
    WHEN disabled_ms IS NOT NULL THEN NULL
    WHEN num_nonnulls(cursor, w.offer) > 0 AND d.waiting < %(most)s THEN clock_ms()
    ELSE d.next_ms END
FROM (
    SELECT count(*) AS waiting, min(next_ms) AS next_ms FROM deliveries
    WHERE webhook = %(webhook)s AND state = 'waiting'
) AS d
WHERE w.webhook = %(webhook)s;

-- name: take_due
-- The webhooks that are to be looked at, each for one asker until a lease ends; whether they fail.
WITH due AS (
    SELECT webhook FROM webhooks
    WHERE log_id = %(log_id)s AND due_ms <= clock_ms()
    ORDER BY due_ms LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE webhooks AS w SET due_ms = clock_ms() + %(lease_ms)s::bigint FROM due
WHERE w.webhook = due.webhook
RETURNING w.webhook, w.failing_since_ms IS NOT NULL AS is_failing;

-- name: claim
-- The delivery of a webhook that is due first, for one asker until a lease ends, as one more try.
WITH due AS (
    SELECT d.position FROM deliveries d JOIN webhooks w USING (webhook)
    WHERE d.webhook = %(webhook)s AND d.state = 'waiting' AND d.next_ms <= clock_ms()
        AND w.disabled_ms IS NULL
    ORDER BY d.next_ms, abs(d.position) LIMIT 1
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE deliveries AS d SET tries = tries + 1, tried_ms = clock_ms(),
    next_ms = clock_ms() + %(lease_ms)s::bigint
FROM due JOIN webhooks w ON w.webhook = %(webhook)s
WHERE d.webhook = %(webhook)s AND d.position = due.position
RETURNING d.position, d.event, d.tries, w.url, w.audience;

-- name: secrets
-- The secrets that messages to a webhook are signed with, newest first.
SELECT secret FROM webhook_secrets
WHERE webhook = %(webhook)s AND (expires_ms IS NULL OR expires_ms > clock_ms())
ORDER BY created_ms DESC, secret LIMIT 2;

-- name: requested_action
-- The owner's part of an action that it is to carry out.
SELECT state, expires_ms, external_id, parameters
FROM requested_action(%(log_id)s, %(position)s, %(webhook)s);

-- name: action
-- The operator of a requested action, its lead and its state.
SELECT operator, surface, lead, state FROM actions
WHERE log_id = %(log_id)s AND position = %(position)s;

-- name: end_try
-- Keep what came of a try, unless its lease has ended and another was begun.
UPDATE deliveries SET state = %(state)s, status = %(status)s, fault = %(fault)s,
    next_ms = clock_ms() + %(wait_ms)s::bigint
WHERE webhook = %(webhook)s AND position = %(position)s AND state = 'waiting' AND tries = %(tries)s;

-- name: note_success
-- A webhook works.
UPDATE webhooks SET failing_since_ms = NULL
WHERE webhook = %(webhook)s AND failing_since_ms IS NOT NULL;

-- name: note_failure
-- A webhook fails; for how long it has.
UPDATE webhooks SET failing_since_ms = coalesce(failing_since_ms, clock_ms())
WHERE webhook = %(webhook)s
RETURNING clock_ms() - failing_since_ms AS failing_ms;

-- name: disable
-- Send nothing more to a webhook. What comes meanwhile waits in the log.
UPDATE webhooks SET disabled_ms = clock_ms(), reason = %(reason)s, due_ms = NULL,
    cursor = coalesce(cursor, %(cursor)s::bigint), offer = coalesce(offer, %(offer)s::bigint)
WHERE webhook = %(webhook)s AND disabled_ms IS NULL;

-- name: drop_old
-- Forget all but the newest deliveries of a webhook that are over.
DELETE FROM deliveries WHERE webhook = %(webhook)s AND position IN (
    SELECT position FROM deliveries WHERE webhook = %(webhook)s AND state <> 'waiting'
    ORDER BY coalesce(tried_ms, created_ms) DESC, position DESC OFFSET %(most)s
);

-- name: add
-- Keep a webhook.
INSERT INTO webhooks (webhook, log_id, account, audience, surface, events, url, created_ms)
VALUES (
    %(webhook)s, %(log_id)s, %(account)s, %(audience)s, %(surface)s, %(events)s, %(url)s, clock_ms());

-- name: add_secret
-- Have messages signed with a secret from now on.
INSERT INTO webhook_secrets (webhook, secret, created_ms)
VALUES (%(webhook)s, %(secret)s, clock_ms());

-- name: end_secrets
-- Let the secret in force end after an overlap.
UPDATE webhook_secrets SET expires_ms = clock_ms() + %(overlap_ms)s::bigint
WHERE webhook = %(webhook)s AND expires_ms IS NULL;

-- name: drop_secrets
-- Forget the secrets that were to end.
DELETE FROM webhook_secrets WHERE webhook = %(webhook)s AND expires_ms IS NOT NULL;

-- name: of_account
-- The webhooks of the caller, or one of them, oldest first; when a former secret ends.
SELECT w.webhook, w.audience, w.surface, w.events, w.url, w.created_ms, w.failing_since_ms,
    w.disabled_ms, w.reason,
    (SELECT max(s.expires_ms) FROM webhook_secrets s
        WHERE s.webhook = w.webhook AND s.expires_ms > clock_ms()) AS old_secret_until_ms,
    (SELECT count(*) FROM deliveries d
        WHERE d.webhook = w.webhook AND d.state = 'waiting') AS waiting,
    (SELECT count(*) FROM deliveries d WHERE d.webhook = w.webhook AND d.state = 'dead') AS dead
FROM webhooks w
WHERE w.log_id = %(log_id)s AND (%(webhook)s::bytea IS NULL OR w.webhook = %(webhook)s)
ORDER BY w.created_ms, w.webhook
LIMIT 100;

-- name: disabled
-- The number of the caller's webhooks that were disabled.
SELECT count(*) AS count FROM webhooks WHERE log_id = %(log_id)s AND disabled_ms IS NOT NULL;

-- name: change
-- Give a webhook another URL and other events, where they are named, and have it sent to again.
UPDATE webhooks SET url = coalesce(%(url)s::text, url),
    events = coalesce(%(events)s::text[], events), disabled_ms = NULL, reason = NULL,
    failing_since_ms = NULL, due_ms = clock_ms()
WHERE webhook = %(webhook)s;

-- name: remove
-- Remove a webhook with its secrets and deliveries.
DELETE FROM webhooks WHERE webhook = %(webhook)s;

-- name: deliveries
-- A webhook's deliveries in a state, or all, newest first.
SELECT d.position, d.event, d.state, d.tries, d.created_ms, d.next_ms, d.tried_ms, d.status, d.fault,
    o.offer
FROM deliveries d JOIN webhooks w USING (webhook)
LEFT JOIN offers o ON o.log_id = w.log_id AND o.number = -d.position
WHERE d.webhook = %(webhook)s AND (%(state)s::text IS NULL OR d.state = %(state)s)
    AND (%(position)s::bigint IS NULL OR d.position = %(position)s)
ORDER BY d.created_ms DESC, abs(d.position) DESC LIMIT 500;

-- name: send_again
-- Have a delivery that is over tried again, now, as if it were new.
UPDATE deliveries SET state = 'waiting', tries = 0, next_ms = clock_ms()
WHERE webhook = %(webhook)s AND position = %(position)s AND state <> 'waiting'
    AND (SELECT count(*) FROM deliveries w
        WHERE w.webhook = %(webhook)s AND w.state = 'waiting') < %(most)s;

-- name: wake
-- Have webhooks looked at now.
UPDATE webhooks SET due_ms = clock_ms()
WHERE webhook = ANY (%(webhooks)s::bytea[]) AND disabled_ms IS NULL;

-- name: look_in_jobs
-- Have this connection find the tables of jobs by their bare names, as procrastinate writes them.
SET search_path = jobs;
