-- Signs of life: when each part of the service last did its work, and what it saw then. A part writes
-- its own alone. They are read through `service_state`, together with what waits and what is anchored.

CREATE TABLE pulses (
    log_id word NOT NULL,
    part text NOT NULL CHECK (part IN ('sequencer', 'pipeline', 'registrar', 'webhooks')),
    at_ms bigint NOT NULL,
    figures jsonb NOT NULL CHECK (
        jsonb_typeof(figures) = 'object' AND octet_length(figures::text) <= 1000),
    PRIMARY KEY (log_id, part)
) WITH (fillfactor = 50);

ALTER TABLE pulses ENABLE ROW LEVEL SECURITY;
ALTER TABLE pulses FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE (at_ms, figures) ON pulses
    TO tallystick_sequencer, tallystick_worker, tallystick_registrar;
CREATE POLICY own ON pulses TO tallystick_sequencer
    USING (part = 'sequencer') WITH CHECK (part = 'sequencer');
CREATE POLICY own_of_worker ON pulses TO tallystick_worker
    USING (part IN ('pipeline', 'webhooks')) WITH CHECK (part IN ('pipeline', 'webhooks'));
CREATE POLICY own_of_registrar ON pulses TO tallystick_registrar
    USING (part = 'registrar') WITH CHECK (part = 'registrar');

GRANT SELECT ON pulses, checkpoints TO tallystick_definer;
CREATE POLICY reader ON pulses FOR SELECT TO tallystick_definer USING (true);
GRANT SELECT (log_id, seq, received_ms) ON inbox TO tallystick_definer;
CREATE POLICY counter ON inbox FOR SELECT TO tallystick_definer USING (true);

-- The state of the service, by the clock that stamps receipts: how many requests wait, since when the
-- first of them; the size of the log, and since when there is a checkpoint that the pipeline has not
-- seen anchored; and all pulses.
CREATE FUNCTION service_state(
    of_log bytea,
    OUT now_ms bigint, OUT waiting bigint, OUT waiting_since_ms bigint, OUT size bigint,
    OUT unanchored_since_ms bigint, OUT pulses json
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    anchored bigint;
BEGIN
    now_ms := clock_ms();
    SELECT coalesce(sum(t.requests), 0) INTO waiting FROM log_requests t WHERE t.log_id = of_log;
    waiting := waiting - coalesce(
        (SELECT d.requests FROM log_decisions d WHERE d.log_id = of_log), 0);
    SELECT i.received_ms INTO waiting_since_ms FROM inbox i WHERE i.log_id = of_log
        ORDER BY i.seq LIMIT 1;
    SELECT c.size INTO size FROM checkpoints c WHERE c.log_id = of_log
        ORDER BY c.size DESC LIMIT 1;
    size := coalesce(size, 0);
    SELECT coalesce((p.figures ->> 'anchored')::bigint, 0) INTO anchored FROM pulses p
        WHERE p.log_id = of_log AND p.part = 'pipeline';
    SELECT c.time_ms INTO unanchored_since_ms FROM checkpoints c
        WHERE c.log_id = of_log AND c.size > coalesce(anchored, 0) ORDER BY c.size LIMIT 1;
    SELECT coalesce(json_agg(json_build_object(
            'part', p.part, 'at_ms', p.at_ms, 'figures', p.figures) ORDER BY p.part), '[]')
        INTO pulses FROM pulses p WHERE p.log_id = of_log;
END $$;
GRANT EXECUTE ON FUNCTION service_state
    TO tallystick_sequencer, tallystick_worker, tallystick_api, tallystick_registrar;
GRANT CREATE ON SCHEMA public TO tallystick_definer;
ALTER FUNCTION service_state OWNER TO tallystick_definer;
REVOKE CREATE ON SCHEMA public FROM tallystick_definer;
