-- Public: the directory of surfaces and operators, counted from the log as it is written.

-- The directory's facts of a contract (core/world/contract.py): its motion, empty where it is not
-- counted, what was stated, and since when outcomes wait for a statement and for a payout.
ALTER TABLE contracts
    ADD COLUMN motion text NOT NULL DEFAULT '',
    ADD COLUMN stated_units units NOT NULL DEFAULT 0,
    ADD COLUMN unstated_ms bigint NOT NULL DEFAULT 0,
    ADD COLUMN unpaid_ms bigint NOT NULL DEFAULT 0;

-- The numbers of things that the log says (core/world/tally.py). Zero and empty words stand for all; `size` is the number of
-- digits of a contract's budget or, of times, their class. `units` may fall again: what was stated is
-- added up, and a statement can state less than the last one. `positions` are the newest.
CREATE TABLE tallies (
    log_id word NOT NULL,
    surface word NOT NULL,
    operator word NOT NULL,
    what text NOT NULL,
    motion text NOT NULL,
    token word NOT NULL,
    size smallint NOT NULL,
    count bigint NOT NULL CHECK (count > 0),
    units numeric(78, 0) NOT NULL,
    positions bigint[] NOT NULL CHECK (cardinality(positions) BETWEEN 1 AND 5),
    PRIMARY KEY (log_id, surface, operator, what, motion, token, size)
);
CREATE INDEX tallies_by_operator ON tallies (log_id, operator, surface);

GRANT SELECT ON tallies TO tallystick_sequencer, tallystick_worker, tallystick_api;
GRANT INSERT, UPDATE ON tallies TO tallystick_sequencer;

-- The motions of a policy, for pages of surfaces.
ALTER TABLE policies ADD COLUMN motions text[] GENERATED ALWAYS AS (array_remove(ARRAY[
    CASE WHEN document @? '$.transitions[*] ? (@.motion == "acquisition")' THEN 'acquisition' END,
    CASE WHEN document @? '$.transitions[*] ? (@.motion == "activation")' THEN 'activation' END,
    CASE WHEN document @? '$.transitions[*] ? (@.motion == "conversion")' THEN 'conversion' END,
    CASE WHEN document @? '$.transitions[*] ? (@.motion == "expansion")' THEN 'expansion' END
], NULL)) STORED;
