-- Actions that surfaces carry out.

-- Public: a projection of the log. `position` is that of the request, `answered_ms` the time of its first
-- answer. One that is `taken` is `done` from the position on at which its touch stands. `commitment` is
-- to its parameters.
CREATE TABLE actions (
    log_id word NOT NULL,
    position bigint NOT NULL CHECK (position > 0),
    surface word NOT NULL,
    lead word NOT NULL,
    operator word NOT NULL,
    action text NOT NULL,
    requested_ms bigint NOT NULL,
    expires_ms bigint NOT NULL,
    commitment word NOT NULL,
    state text NOT NULL DEFAULT 'requested'
        CHECK (state IN ('requested', 'taken', 'done', 'failed', 'expired')),
    answered_ms bigint CHECK ((answered_ms IS NULL) = (state = 'requested')),
    reason text NOT NULL DEFAULT '',
    done_position bigint CHECK ((done_position IS NULL) = (state <> 'done')),
    PRIMARY KEY (log_id, position)
);
CREATE INDEX actions_by_surface ON actions (log_id, surface, state, position);
CREATE INDEX actions_by_operator ON actions (log_id, operator, surface, position);
CREATE INDEX actions_by_name ON actions (log_id, surface, action, position);
CREATE INDEX actions_to_expire ON actions (log_id, expires_ms) WHERE state = 'requested';
GRANT SELECT ON actions TO tallystick_sequencer, tallystick_worker, tallystick_api, tallystick_definer;
GRANT INSERT, UPDATE ON actions TO tallystick_sequencer;

-- Tenant: what an owner has told of a lead with its answer, of what the action gives back. Seen by the
-- operator that requested the action; it dies with what else is known of the lead.
CREATE TABLE action_results (
    log_id word NOT NULL,
    position bigint NOT NULL,
    surface word NOT NULL,
    lead word NOT NULL,
    result jsonb NOT NULL CHECK (octet_length(result::text) <= 16384),
    PRIMARY KEY (log_id, position)
);
CREATE INDEX action_results_by_lead ON action_results (log_id, surface, lead);
ALTER TABLE action_results ENABLE ROW LEVEL SECURITY;
ALTER TABLE action_results FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, DELETE ON action_results TO tallystick_api;
CREATE POLICY owner ON action_results TO tallystick_api USING (
    EXISTS (
        SELECT FROM surfaces s
        WHERE s.log_id = action_results.log_id AND s.surface = action_results.surface
            AND s.owner = (SELECT current_word())
    )
) WITH CHECK (
    key_may('owner:answer', surface) AND EXISTS (
        SELECT FROM actions a
        WHERE a.log_id = action_results.log_id AND a.position = action_results.position
            AND a.surface = action_results.surface AND a.lead = action_results.lead
    )
    AND EXISTS (
        SELECT FROM surfaces s
        WHERE s.log_id = action_results.log_id AND s.surface = action_results.surface
            AND s.owner = (SELECT current_word())
    )
);
CREATE POLICY operator ON action_results FOR SELECT TO tallystick_api USING (
    EXISTS (
        SELECT FROM actions a
        WHERE a.log_id = action_results.log_id AND a.position = action_results.position
            AND a.operator = (SELECT current_word())
    )
);
CREATE POLICY within_surfaces ON action_results AS RESTRICTIVE TO tallystick_api USING (
    (SELECT current_surfaces()) IS NULL OR surface = ANY ((SELECT current_surfaces())::bytea[]));
CREATE POLICY eraser_scope ON action_results AS RESTRICTIVE FOR DELETE TO tallystick_api
    USING (key_may('owner:erase', surface));
