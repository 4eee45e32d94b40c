-- The ways to a deal: openings that are tried again, versions of a proposal, standing offers.

GRANT SELECT ON contracts, standings TO tallystick_definer;

-- Openings ------------------------------------------------------------------------------------------

-- The opening of a contract that both parties have signed, as far as it is. `intent_key` is that of the
-- transaction under way, `asked` how many there were; `tries` also counts the looks at the owner's funds.
-- `waits_for` is the limit for which it was put off, `reason` why the last try came to nothing, and
-- `next_ms` when it is due again: never while a transaction is under way.
CREATE TABLE openings (
    log_id word NOT NULL,
    contract_id word NOT NULL,
    tries integer NOT NULL,
    asked integer NOT NULL CHECK (asked BETWEEN 0 AND tries),
    intent_key text,
    waits_for text,
    reason text,
    next_ms bigint,
    PRIMARY KEY (log_id, contract_id),
    FOREIGN KEY (log_id, contract_id) REFERENCES proposals,
    CHECK (intent_key IS NULL OR num_nonnulls(waits_for, next_ms) = 0),
    CHECK (waits_for IS NULL OR next_ms IS NOT NULL)
);
ALTER TABLE openings ENABLE ROW LEVEL SECURITY;
ALTER TABLE openings FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE (tries, asked, intent_key, waits_for, reason, next_ms)
    ON openings TO tallystick_worker;
CREATE POLICY worker ON openings TO tallystick_worker USING (true) WITH CHECK (true);
GRANT SELECT ON openings TO tallystick_api;
CREATE POLICY party ON openings FOR SELECT TO tallystick_api USING (
    EXISTS (
        SELECT FROM proposals p
        WHERE p.log_id = openings.log_id AND p.contract_id = openings.contract_id
            AND (SELECT current_account()) IN (p.owner, p.operator)
    )
);

-- Standing offers -----------------------------------------------------------------------------------

-- An owner's word that it will sign terms like these with up to so many operators. It binds no chain:
-- each contract is signed by both. `terms` are those that every contract from it has. An operator
-- begins with the first budget, and has the other once what it had is used.
CREATE TABLE offers (
    log_id word NOT NULL,
    offer word NOT NULL,
    surface word NOT NULL,
    owner address NOT NULL,
    terms deal_terms NOT NULL,
    lasts_s bigint NOT NULL CHECK (lasts_s >= 0),
    first_budget_units units NOT NULL CHECK (first_budget_units > 0),
    budget_units units NOT NULL CHECK (budget_units > 0),
    places integer NOT NULL CHECK (places BETWEEN 1 AND 1000),
    level smallint NOT NULL CHECK (level BETWEEN 1 AND 3),
    ends_ms bigint NOT NULL,
    created_ms bigint NOT NULL,
    withdrawn_ms bigint,
    PRIMARY KEY (log_id, offer),
    -- Of two takers of an exclusive offer the escrow would open one alone.
    CHECK (places = 1 OR (terms ->> 'exclusive')::boolean IS NOT TRUE)
);
CREATE INDEX offers_by_surface ON offers (log_id, surface, created_ms, offer);
CREATE INDEX offers_by_owner ON offers (log_id, owner);
ALTER TABLE offers ENABLE ROW LEVEL SECURITY;
ALTER TABLE offers FORCE ROW LEVEL SECURITY;
GRANT SELECT, UPDATE ON offers TO tallystick_definer;
CREATE POLICY binder ON offers TO tallystick_definer USING (true);
GRANT SELECT, INSERT (
    log_id, offer, surface, owner, terms, lasts_s, first_budget_units, budget_units, places, level,
    ends_ms, created_ms
), UPDATE (withdrawn_ms) ON offers TO tallystick_api;
CREATE POLICY public_facts ON offers FOR SELECT TO tallystick_api USING (true);
CREATE POLICY offerer ON offers FOR INSERT TO tallystick_api WITH CHECK (
    owner = (SELECT current_account()) AND key_may('owner:review', surface)
    AND created_ms = (SELECT clock_ms())
    AND EXISTS (
        SELECT FROM surfaces s
        WHERE s.log_id = offers.log_id AND s.surface = offers.surface
            AND s.owner = (SELECT current_word())
    )
);
CREATE POLICY withdrawer ON offers FOR UPDATE TO tallystick_api
    USING (
        owner = (SELECT current_account()) AND key_may('owner:review', surface)
        AND withdrawn_ms IS NULL
    )
    WITH CHECK (owner = (SELECT current_account()));

-- Versions of a proposal ----------------------------------------------------------------------------

-- A proposal may answer another of the same parties, as its next version, and be made from an offer.
ALTER TABLE proposals
    ADD answers word,
    ADD version smallint NOT NULL DEFAULT 1 CHECK (version BETWEEN 1 AND 10),
    ADD offer word;
CREATE UNIQUE INDEX proposals_by_answers ON proposals (log_id, answers) WHERE answers IS NOT NULL;
CREATE INDEX proposals_by_offer ON proposals (log_id, offer, operator) WHERE offer IS NOT NULL;
GRANT INSERT (answers, offer) ON proposals TO tallystick_api;
GRANT UPDATE (withdrawn_ms) ON proposals TO tallystick_definer;
CREATE POLICY binder ON proposals FOR UPDATE TO tallystick_definer USING (true);

-- An owner's answer to a proposal: terms that it would sign, unsigned; at most one for each.
CREATE TABLE counters (
    log_id word NOT NULL,
    contract_id word NOT NULL,
    terms deal_terms NOT NULL,
    created_ms bigint NOT NULL,
    PRIMARY KEY (log_id, contract_id),
    FOREIGN KEY (log_id, contract_id) REFERENCES proposals
);
ALTER TABLE counters ENABLE ROW LEVEL SECURITY;
ALTER TABLE counters FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON counters TO tallystick_api;
CREATE POLICY party ON counters FOR SELECT TO tallystick_api USING (
    EXISTS (
        SELECT FROM proposals p
        WHERE p.log_id = counters.log_id AND p.contract_id = counters.contract_id
            AND (SELECT current_account()) IN (p.owner, p.operator)
    )
);
CREATE POLICY answerer ON counters FOR INSERT TO tallystick_api WITH CHECK (
    EXISTS (
        SELECT FROM proposals p
        WHERE p.log_id = counters.log_id AND p.contract_id = counters.contract_id
            AND p.owner = (SELECT current_account()) AND key_may('owner:review', p.surface)
            AND p.declined_ms IS NOT NULL
    )
);

-- The use of an offer: the operators that hold a place of it, this one apart; the proposals that this one has from it
-- and that may still become contracts; those of its contracts that have room for one more outcome; and what
-- it may have next. A place is held by what may become a contract, and by every contract.
CREATE FUNCTION offer_use(of_log bytea, of_offer bytea, by_operator text) RETURNS TABLE (
    others bigint, waiting bigint, unused bigint, budget_units numeric
) LANGUAGE sql STABLE SECURITY DEFINER ROWS 1 SET search_path = public, pg_temp
BEGIN ATOMIC
    WITH taken AS (
        SELECT p.operator, c.contract_id IS NOT NULL AS is_opened,
            c.closed_at_ms IS NULL AND (p.terms ->> 'deadline_s')::bigint * 1000 > clock_ms()
                AS is_live,
            (p.terms ->> 'budget_units')::numeric - c.earned_units + c.reversed_units
                < greatest((p.terms ->> 'unit_price_units')::numeric, 1) AS is_used
        FROM proposals p LEFT JOIN contracts c USING (log_id, contract_id)
        WHERE p.log_id = of_log AND p.offer = of_offer AND (
            c.contract_id IS NOT NULL
            OR num_nonnulls(p.declined_ms, p.withdrawn_ms) = 0
                AND (p.terms ->> 'opens_at_s')::bigint * 1000 > clock_ms())
    )
    SELECT count(DISTINCT t.operator) FILTER (WHERE t.operator <> by_operator),
        count(*) FILTER (WHERE t.operator = by_operator AND NOT t.is_opened),
        count(*) FILTER (
            WHERE t.operator = by_operator AND t.is_opened AND t.is_live AND NOT t.is_used),
        -- One that has ended with its budget left has shown nothing.
        CASE WHEN count(*) FILTER (WHERE t.operator = by_operator AND t.is_used) > 0
            THEN o.budget_units ELSE o.first_budget_units END
    FROM offers o LEFT JOIN taken t ON true
    WHERE o.log_id = of_log AND o.offer = of_offer
    GROUP BY o.budget_units, o.first_budget_units;
END;

-- Holds a new proposal to what it answers, and to the offer that it is made from. Both rows are
-- locked, so that of two proposals at once the later one sees the earlier. A refusal has the state
-- TS409, its code as message and the rest as detail.
CREATE FUNCTION bind_proposal() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    prior proposals;
    offered offers;
    used record;
    standing record;
    moment bigint := clock_ms();
    code text;
    reason text;
BEGIN
    -- The same terms again are the same proposal.
    IF EXISTS (
        SELECT FROM proposals p WHERE p.log_id = NEW.log_id AND p.contract_id = NEW.contract_id)
    THEN
        RETURN NEW;
    END IF;
    NEW.version := 1;
    IF NEW.answers IS NOT NULL THEN
        SELECT * INTO prior FROM proposals p
        WHERE p.log_id = NEW.log_id AND p.contract_id = NEW.answers FOR UPDATE;
        IF prior IS NULL OR (prior.surface, prior.operator, prior.owner)
            IS DISTINCT FROM (NEW.surface, NEW.operator, NEW.owner)
        THEN
            code := 'answer-unknown';
            reason := 'there is no such proposal of these parties on this surface';
        ELSIF prior.accepted_ms IS NOT NULL THEN
            code := 'answer-accepted';
            reason := 'what it answers was accepted already';
        ELSIF EXISTS (
            SELECT FROM proposals p WHERE p.log_id = NEW.log_id AND p.answers = NEW.answers)
        THEN
            code := 'answered-already';
            reason := 'what it answers has a later version; answer that';
        ELSIF prior.version >= 10 THEN
            code := 'versions-too-many';
            reason := 'this deal has 10 versions, the most that one may; begin another';
        ELSE
            NEW.version := prior.version + 1;
            UPDATE proposals p SET withdrawn_ms = moment
            WHERE p.log_id = NEW.log_id AND p.contract_id = NEW.answers
                AND num_nonnulls(p.declined_ms, p.withdrawn_ms) = 0;
        END IF;
    END IF;
    IF code IS NULL AND NEW.offer IS NOT NULL THEN
        SELECT * INTO offered FROM offers o
        WHERE o.log_id = NEW.log_id AND o.offer = NEW.offer FOR UPDATE;
        SELECT * INTO used FROM offer_use(NEW.log_id, NEW.offer, NEW.operator);
        SELECT t.level, t.is_suspended INTO standing FROM standings t
        WHERE t.log_id = NEW.log_id AND t.surface = NEW.surface
            AND t.operator = decode(repeat('0', 24) || substr(NEW.operator, 3), 'hex');
        CASE
            WHEN offered.offer IS NULL
                OR (offered.surface, offered.owner) IS DISTINCT FROM (NEW.surface, NEW.owner)
            THEN
                code := 'offer-unknown';
                reason := 'this surface has no such offer';
            WHEN offered.withdrawn_ms IS NOT NULL OR offered.ends_ms <= moment THEN
                code := 'offer-ended';
                reason := 'the offer was withdrawn, or has ended';
            WHEN coalesce(standing.is_suspended, false) THEN
                code := 'operator-suspended';
                reason := 'the surface''s owner has suspended you there';
            WHEN coalesce(standing.level, 0) < offered.level THEN
                code := 'level-too-low';
                reason := format('the offer is for level %s and above, and you have %s',
                    offered.level, coalesce(standing.level, 0));
            WHEN NOT NEW.terms @> offered.terms
                OR (NEW.terms ->> 'deadline_s')::bigint - (NEW.terms ->> 'opens_at_s')::bigint
                    > offered.lasts_s
                OR (NEW.terms ->> 'opens_at_s')::bigint * 1000 > moment + 7 * 86400000::bigint
            THEN
                code := 'offer-differs';
                reason := 'the terms are not those of the offer; draft them from it';
            WHEN used.others >= offered.places THEN
                code := 'offer-taken';
                reason := format('all %s places of the offer are taken', offered.places);
            WHEN used.waiting > 0 THEN
                code := 'offer-waiting';
                reason := 'you have a proposal from this offer that is not open yet';
            WHEN used.unused > 0 THEN
                code := 'budget-unused';
                reason := 'your contract from this offer has budget left: use it first';
            WHEN (NEW.terms ->> 'budget_units')::numeric > used.budget_units THEN
                code := 'offer-budget';
                reason := format('your budget from this offer is %s base units at most',
                    used.budget_units);
            ELSE NULL;
        END CASE;
    END IF;
    IF code IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TS409', MESSAGE = code, DETAIL = reason;
    END IF;
    RETURN NEW;
END $$;
GRANT EXECUTE ON FUNCTION offer_use TO tallystick_api;
CREATE TRIGGER bound BEFORE INSERT ON proposals FOR EACH ROW EXECUTE FUNCTION bind_proposal();
GRANT CREATE ON SCHEMA public TO tallystick_definer;
ALTER FUNCTION offer_use OWNER TO tallystick_definer;
ALTER FUNCTION bind_proposal OWNER TO tallystick_definer;
REVOKE CREATE ON SCHEMA public FROM tallystick_definer;
