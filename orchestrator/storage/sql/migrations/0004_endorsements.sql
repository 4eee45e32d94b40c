-- Endorsements, which the verifier has signed for ERC-8183 jobs: of the statements [first, first + count) of the tree
-- (size, root), in the domain of the JobEvaluators contract. Public: the party that wants a job
-- completed takes the signature to the chain.
CREATE TABLE endorsements (
    log_id word NOT NULL,
    first bigint NOT NULL CHECK (first > 0),
    count bigint NOT NULL CHECK (count > 0),
    size bigint NOT NULL CHECK (size >= first + count),
    root word NOT NULL,
    signature bytea NOT NULL CHECK (octet_length(signature) = 65),
    PRIMARY KEY (log_id, first)
);
CALL only_grows('endorsements');
GRANT SELECT ON endorsements TO tallystick_sequencer, tallystick_worker, tallystick_api;
GRANT INSERT ON endorsements TO tallystick_worker;
