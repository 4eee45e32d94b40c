-- Queries about the service itself.

-- name: beat
-- Note that a part works, by the database's clock, with what it sees.
INSERT INTO pulses (log_id, part, at_ms, figures)
VALUES (%(log_id)s, %(part)s, (SELECT clock_ms()), %(figures)s)
ON CONFLICT (log_id, part) DO UPDATE SET at_ms = excluded.at_ms, figures = excluded.figures;

-- name: state
-- The state of the service.
SELECT now_ms, waiting, waiting_since_ms, size, unanchored_since_ms, pulses
FROM service_state(%(log_id)s);
