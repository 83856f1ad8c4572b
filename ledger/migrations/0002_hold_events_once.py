"""Events of holds are applied with one look at each hold."""

from django.db import migrations


APPLY = """
-- Note [Plans] in 0001 says why joins are kept to index look-ups.
CREATE OR REPLACE FUNCTION ledger_apply_hold_events() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET work_mem = '64MB' AS $$
DECLARE
    culprit uuid;
    missing bigint;
    accounts uuid[];
    changes numeric[];
BEGIN
    -- What a split takes from its parent is what is placed in its child, in this statement. A placing without a hold
    -- counts as a child that nobody split.
    SELECT child INTO culprit FROM (
            SELECT child_id AS child, hold_id AS parent, amount_micros, 1 AS side FROM new_events WHERE kind = 'split'
            UNION ALL
            SELECT n.hold_id, h.parent_id, n.amount_micros, -1
            FROM new_events n LEFT JOIN ledger_hold h ON h.id = n.hold_id
            WHERE n.kind = 'place' AND (h.id IS NULL OR h.parent_id IS NOT NULL)
        ) moved GROUP BY child, parent, amount_micros HAVING sum(side) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'hold % is not placed as it was split', culprit
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_hold_split';
    END IF;
    -- Each hold is touched once. What its account gets back comes out of the same statement, one sum an account.
    WITH asked AS MATERIALIZED (
        SELECT hold_id, sum(CASE kind WHEN 'increase' THEN amount_micros ELSE -amount_micros END) AS change,
            -- A split moves money inside its account.
            sum(CASE kind WHEN 'increase' THEN amount_micros WHEN 'split' THEN 0 ELSE -amount_micros END) AS held,
            bool_or(kind IN ('void', 'expire')) AS whole
        FROM new_events WHERE kind <> 'place' GROUP BY hold_id
    ), changed AS (
        UPDATE ledger_hold h SET rest_micros = h.rest_micros + d.change FROM asked d
        WHERE h.id = d.hold_id AND h.rest_micros > 0
        RETURNING h.account_id, d.held, CASE WHEN d.whole AND h.rest_micros <> 0 THEN h.id END AS unresolved
    ), by_account AS (
        SELECT account_id, sum(held) AS held, count(*) AS size,
            (array_agg(unresolved) FILTER (WHERE unresolved IS NOT NULL))[1] AS unresolved
        FROM changed GROUP BY account_id
    )
    SELECT (SELECT count(*) FROM asked) - coalesce(sum(size), 0), array_agg(account_id), array_agg(held),
        (array_agg(unresolved) FILTER (WHERE unresolved IS NOT NULL))[1]
        INTO missing, accounts, changes, culprit FROM by_account;
    IF missing <> 0 THEN
        RAISE EXCEPTION 'a hold is not there, or was resolved before'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_hold_resolved_once';
    END IF;
    IF culprit IS NOT NULL THEN
        RAISE EXCEPTION 'hold % was voided or expired with a rest', culprit
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_hold_resolved_whole';
    END IF;
    -- Like a split, the placing of its child moves nothing.
    UPDATE ledger_account a SET held_micros = a.held_micros + d.change
        FROM (SELECT account_id, sum(change) AS change FROM (
                SELECT account_id, change FROM unnest(accounts, changes) c (account_id, change)
                UNION ALL
                SELECT h.account_id, n.amount_micros FROM new_events n JOIN ledger_hold h ON h.id = n.hold_id
                WHERE n.kind = 'place' AND n.key IS NOT NULL
            ) moved GROUP BY account_id) d
        WHERE a.id = d.account_id AND d.change <> 0;
    RETURN NULL;
END $$;
"""

# As 0001 made it.
APPLY_BEFORE = """
CREATE OR REPLACE FUNCTION ledger_apply_hold_events() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET work_mem = '64MB' AS $$
DECLARE
    culprit uuid;
    changed bigint;
BEGIN
    -- What a split takes from its parent is what is placed in its child, in this statement. A placing without a hold
    -- counts as a child that nobody split.
    SELECT child INTO culprit FROM (
            SELECT child_id AS child, hold_id AS parent, amount_micros, 1 AS side FROM new_events WHERE kind = 'split'
            UNION ALL
            SELECT n.hold_id, h.parent_id, n.amount_micros, -1
            FROM new_events n LEFT JOIN ledger_hold h ON h.id = n.hold_id
            WHERE n.kind = 'place' AND (h.id IS NULL OR h.parent_id IS NOT NULL)
        ) moved GROUP BY child, parent, amount_micros HAVING sum(side) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'hold % is not placed as it was split', culprit
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_hold_split';
    END IF;
    UPDATE ledger_hold h SET rest_micros = h.rest_micros + d.change
        FROM (SELECT hold_id, sum(CASE kind WHEN 'increase' THEN amount_micros ELSE -amount_micros END) AS change
            FROM new_events WHERE kind <> 'place' GROUP BY hold_id) d
        WHERE h.id = d.hold_id AND h.rest_micros > 0;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> (SELECT count(DISTINCT hold_id) FROM new_events WHERE kind <> 'place') THEN
        RAISE EXCEPTION 'a hold is not there, or was resolved before'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_hold_resolved_once';
    END IF;
    SELECT n.hold_id INTO culprit FROM new_events n JOIN ledger_hold h ON h.id = n.hold_id
        WHERE n.kind IN ('void', 'expire') AND h.rest_micros <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'hold % was voided or expired with a rest', culprit
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_hold_resolved_whole';
    END IF;
    -- A split moves money inside its account, so it and its child's placing are left out.
    UPDATE ledger_account a SET held_micros = a.held_micros + d.change
        FROM (SELECT h.account_id,
                sum(CASE WHEN n.kind IN ('place', 'increase') THEN n.amount_micros ELSE -n.amount_micros END) AS change
            FROM new_events n JOIN ledger_hold h ON h.id = n.hold_id
            WHERE n.kind <> 'split' AND n.key IS NOT NULL GROUP BY h.account_id) d
        WHERE a.id = d.account_id AND d.change <> 0;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('ledger', '0001_initial'),
    ]

    operations = [
        migrations.RunSQL(APPLY, APPLY_BEFORE),
    ]
