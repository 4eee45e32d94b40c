-- Queries of actions that surfaces carry out.

-- name: put_requested
-- Add actions that were requested.
INSERT INTO actions (
    log_id, position, surface, lead, operator, action, requested_ms, expires_ms, commitment)
SELECT %(log_id)s, position, decode(surface, 'hex'), decode(lead, 'hex'), decode(operator, 'hex'),
    action, requested_ms, expires_ms, decode(commitment, 'hex')
FROM jsonb_to_recordset(%(rows)s::jsonb) AS requested (
    position bigint, surface text, lead text, operator text, action text, requested_ms bigint,
    expires_ms bigint, commitment text);

-- name: put_answer
-- Bring an action up to date with an answer, or with the touch that it has become.
UPDATE actions SET
    state = %(state)s,
    answered_ms = coalesce(answered_ms, %(answered_ms)s::bigint),
    reason = %(reason)s,
    done_position = %(done_position)s::bigint
WHERE log_id = %(log_id)s AND position = %(position)s;

-- name: to_expire
-- Actions that were not taken in their time, oldest first.
SELECT position, surface, lead FROM actions
WHERE log_id = %(log_id)s AND state = 'requested' AND expires_ms < %(now_ms)s
ORDER BY expires_ms
LIMIT %(limit)s;

-- name: page
-- The actions of a surface in a state, of one operator or of all, after a position. The owner, and the
-- operator that requested one, see what was told of it.
SELECT a.position, a.lead, a.operator, a.action, a.requested_ms, a.expires_ms, a.state, a.answered_ms,
    a.reason, a.done_position, i.external_id, p.body AS parameters, r.result
FROM actions AS a
LEFT JOIN lead_identities AS i
    ON i.log_id = a.log_id AND i.surface = a.surface AND i.lead = a.lead
LEFT JOIN private_payloads AS p ON p.log_id = a.log_id AND p.commitment = a.commitment
LEFT JOIN action_results AS r ON r.log_id = a.log_id AND r.position = a.position
WHERE a.log_id = %(log_id)s AND a.surface = %(surface)s AND a.position > %(after)s
    AND (%(state)s::text IS NULL OR a.state = %(state)s)
    AND (%(operator)s::bytea IS NULL OR a.operator = %(operator)s)
    AND (%(position)s::bigint IS NULL OR a.position = %(position)s)
ORDER BY a.position
LIMIT %(limit)s;

-- name: of_position
-- The action whose request stands at a position.
SELECT lead, operator, action, state FROM actions
WHERE log_id = %(log_id)s AND surface = %(surface)s AND position = %(position)s;

-- name: put_result
-- Keep what an owner tells of a lead with its answer.
INSERT INTO action_results (log_id, position, surface, lead, result)
VALUES (%(log_id)s, %(position)s, %(surface)s, %(lead)s, %(result)s::jsonb)
ON CONFLICT (log_id, position) DO NOTHING;

-- name: measured
-- Of each action of a surface, by the newest requests: how many were answered and how fast. One that
-- waits and has not expired counts as neither.
SELECT named.action, count(*) AS requested,
    count(*) FILTER (WHERE state IN ('taken', 'done', 'failed')) AS answered,
    count(*) FILTER (WHERE state = 'failed') AS failed,
    count(*) FILTER (WHERE state = 'expired') AS expired,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY answered_ms - requested_ms)
        FILTER (WHERE state IN ('taken', 'done', 'failed')) AS median_ms
FROM (SELECT DISTINCT unnest(%(actions)s::text[]) AS action) AS named
CROSS JOIN LATERAL (
    SELECT state, answered_ms, requested_ms FROM actions AS a
    WHERE a.log_id = %(log_id)s AND a.surface = %(surface)s AND a.action = named.action
    ORDER BY position DESC
    LIMIT %(newest)s
) AS recent
GROUP BY named.action
ORDER BY named.action;
