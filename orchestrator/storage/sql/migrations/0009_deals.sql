-- How deals come about: openings that are tried again, versions of a proposal, standing offers.

GRANT SELECT ON contracts, standings TO tallystick_definer;

-- Openings ------------------------------------------------------------------------------------------

-- What became of opening a contract that both parties have signed. `intent_key` is that of the
-- transaction under way; `asked` counts those that there were, `tries` also the looks at the owner's
-- funds. `reason` is why the last try came to nothing, and `next_ms` when the next one is.
CREATE TABLE openings (
    log_id word NOT NULL,
    contract_id word NOT NULL,
    tries integer NOT NULL,
    asked integer NOT NULL CHECK (asked BETWEEN 0 AND tries),
    intent_key text,
    reason text,
    next_ms bigint NOT NULL,
    PRIMARY KEY (log_id, contract_id),
    FOREIGN KEY (log_id, contract_id) REFERENCES proposals
);
ALTER TABLE openings ENABLE ROW LEVEL SECURITY;
ALTER TABLE openings FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE (tries, asked, intent_key, reason, next_ms) ON openings
    TO tallystick_worker;
CREATE POLICY worker ON openings TO tallystick_worker USING (true) WITH CHECK (true);
GRANT SELECT ON openings TO tallystick_api;
CREATE POLICY party ON openings FOR SELECT TO tallystick_api USING (
    EXISTS (
        SELECT FROM proposals p
        WHERE p.log_id = openings.log_id AND p.contract_id = openings.contract_id
            AND (SELECT current_account()) IN (p.owner, p.operator)
    )
);
