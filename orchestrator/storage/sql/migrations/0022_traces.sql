-- Traces of requests, for those who run the service: a `traceparent` (W3C Trace Context) beside what waits
-- to be done for it. None of it is in entries, openings or hashes, and it decides nothing.

CREATE DOMAIN trace AS text CHECK (VALUE ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$');

-- It is that of the transaction which takes the request (`take_requests` and `take_request`, which alone write this table),
-- which names it as a setting of its own; none where it names none.
ALTER TABLE inbox ADD COLUMN trace trace DEFAULT nullif(current_setting('tallystick.trace', true), '');

-- The trace under which a transaction was asked for.
ALTER TABLE chain_transactions ADD COLUMN trace trace;

-- Of each contract, at most one row: the traces of the last requests that counted for it since its last
-- statement, the newest first and 32 at most, and that statement with the traces that it had then. The
-- sequencer writes it with the entries; the pipeline reads it when it sends the statement.
CREATE TABLE contract_traces (
    log_id word NOT NULL,
    contract_id word NOT NULL,
    traces trace[] NOT NULL DEFAULT '{}' CHECK (cardinality(traces) <= 32),
    statement bigint,
    stated trace[] NOT NULL DEFAULT '{}' CHECK (cardinality(stated) <= 32),
    PRIMARY KEY (log_id, contract_id)
) WITH (fillfactor = 50);

ALTER TABLE contract_traces ENABLE ROW LEVEL SECURITY;
ALTER TABLE contract_traces FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE (traces, statement, stated) ON contract_traces TO tallystick_sequencer;
CREATE POLICY writer ON contract_traces TO tallystick_sequencer USING (true) WITH CHECK (true);
GRANT SELECT ON contract_traces TO tallystick_worker;
CREATE POLICY reader ON contract_traces FOR SELECT TO tallystick_worker USING (true);
