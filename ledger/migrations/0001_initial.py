"""Tables of the ledger, and the triggers that keep its books."""

import accounts.kernel.ids
import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models


TRIGGERS = """
CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_TABLE_NAME || '_append_only';
END $$;
CREATE TRIGGER ledger_transfer_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transfer
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_holdevent_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_holdevent
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- Accounts and holds stay, and stay what they are. Entries and events have no foreign keys checked row by row; that
-- what they name is still there rests on these two.
CREATE FUNCTION ledger_refuse_removal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never removed, and keep what they are', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_TABLE_NAME || '_kept';
END $$;
CREATE TRIGGER ledger_account_kept BEFORE DELETE OR TRUNCATE
    OR UPDATE OF id, organisation_id, kind, currency, normal_side, stored ON ledger_account
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_removal();
CREATE TRIGGER ledger_hold_kept BEFORE DELETE OR TRUNCATE
    OR UPDATE OF id, account_id, currency, parent_id, expires_at, created_at ON ledger_hold
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_removal();

-- Totals move by entries and events only: a statement that names them is legal inside a trigger and nowhere else.
CREATE FUNCTION ledger_refuse_total() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'totals of % are moved by its history only', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_TABLE_NAME || '_total';
END $$;
CREATE TRIGGER ledger_account_total BEFORE UPDATE OF posted_micros, held_micros ON ledger_account
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION ledger_refuse_total();
CREATE TRIGGER ledger_account_starts_empty BEFORE INSERT ON ledger_account
    FOR EACH ROW WHEN (NEW.posted_micros <> 0 OR NEW.held_micros <> 0) EXECUTE FUNCTION ledger_refuse_total();
CREATE TRIGGER ledger_hold_total BEFORE UPDATE OF rest_micros ON ledger_hold
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION ledger_refuse_total();

-- Note [Plans]: the functions below run with rows of one transfer or of a hundred thousand, and a connection keeps the
-- plan of its first call. A plan made for many rows reads whole tables, so joins are kept to index look-ups.

-- A transfer and its entries are one statement: a transfer without entries is refused here, entries added later by
-- their positions.
CREATE FUNCTION ledger_check_transfers() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET work_mem = '64MB' AS $$
DECLARE
    culprit uuid;
BEGIN
    SELECT n.id INTO culprit FROM new_transfers n
        WHERE NOT EXISTS (SELECT FROM ledger_entry e WHERE e.transfer_id = n.id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transfer % has no entries', culprit
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_transfer_balanced';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_transfer_has_entries AFTER INSERT ON ledger_transfer
    REFERENCING NEW TABLE AS new_transfers FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_transfers();

CREATE FUNCTION ledger_apply_entries() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET work_mem = '64MB' AS $$
DECLARE
    culprit uuid;
BEGIN
    SELECT transfer_id INTO culprit FROM new_entries GROUP BY transfer_id
        HAVING count(*) < 2 OR min(position) <> 0 OR max(position) <> count(*) - 1
            OR sum(CASE direction WHEN 'debit' THEN amount_micros ELSE -amount_micros END) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transfer % is not balanced, or not whole', culprit
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_transfer_balanced';
    END IF;
    SELECT n.transfer_id INTO culprit FROM new_entries n
        LEFT JOIN ledger_transfer t ON t.id = n.transfer_id
        LEFT JOIN ledger_account a ON a.id = n.account_id
        WHERE a.currency IS NULL OR a.currency IS DISTINCT FROM t.currency LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'an entry of transfer % has no transfer or account of its currency', culprit
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entry_currency';
    END IF;
    UPDATE ledger_account a
        SET posted_micros = a.posted_micros + CASE a.normal_side WHEN 'debit' THEN d.debits ELSE -d.debits END
        FROM (SELECT account_id, sum(CASE direction WHEN 'debit' THEN amount_micros ELSE -amount_micros END) AS debits
            FROM new_entries GROUP BY account_id) d
        WHERE a.id = d.account_id AND a.stored;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_entry_applies AFTER INSERT ON ledger_entry
    REFERENCING NEW TABLE AS new_entries FOR EACH STATEMENT EXECUTE FUNCTION ledger_apply_entries();

-- A hold and its placing are one statement. Only a child's placing has no key: its parent's split has it.
CREATE FUNCTION ledger_check_holds() RETURNS trigger LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET work_mem = '64MB' AS $$
DECLARE
    culprit uuid;
BEGIN
    SELECT n.id INTO culprit FROM new_holds n
        LEFT JOIN ledger_holdevent e ON e.hold_id = n.id AND e.kind = 'place'
        WHERE e.amount_micros IS DISTINCT FROM n.rest_micros OR (e.key IS NULL) <> (n.parent_id IS NOT NULL) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'hold % is not placed as it starts', culprit
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_hold_placed';
    END IF;
    -- A child is in its parent's account and currency, and what has no parent in those of an account with a total.
    SELECT n.id INTO culprit FROM new_holds n LEFT JOIN ledger_hold p ON p.id = n.parent_id
        WHERE n.parent_id IS NOT NULL
            AND (p.account_id IS DISTINCT FROM n.account_id OR p.currency IS DISTINCT FROM n.currency)
        UNION ALL
        SELECT n.id FROM new_holds n LEFT JOIN ledger_account a ON a.id = n.account_id
        WHERE n.parent_id IS NULL
            AND (a.stored IS DISTINCT FROM true OR a.currency IS DISTINCT FROM n.currency) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'hold % needs an account with a total, of its currency and that of its parent', culprit
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_hold_account';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_hold_is_placed AFTER INSERT ON ledger_hold
    REFERENCING NEW TABLE AS new_holds FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_holds();

CREATE FUNCTION ledger_apply_hold_events() RETURNS trigger LANGUAGE plpgsql
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
CREATE TRIGGER ledger_holdevent_applies AFTER INSERT ON ledger_holdevent
    REFERENCING NEW TABLE AS new_events FOR EACH STATEMENT EXECUTE FUNCTION ledger_apply_hold_events();

-- Totals are updated again and again; room in their pages keeps the new version beside the old one.
ALTER TABLE ledger_account SET (fillfactor = 70);
ALTER TABLE ledger_hold SET (fillfactor = 85);
"""

DROP_TRIGGERS = """
DROP FUNCTION ledger_refuse_change, ledger_refuse_removal, ledger_refuse_total, ledger_check_transfers,
    ledger_apply_entries, ledger_check_holds, ledger_apply_hold_events CASCADE;
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Account',
            fields=[
                ('id', models.UUIDField(default=accounts.kernel.ids.new, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('cash_clearing', 'cash_clearing'), ('wallet', 'wallet'), ('receivable', 'receivable'), ('unbilled', 'unbilled'), ('payable_held', 'payable_held'), ('payable_available', 'payable_available'), ('collateral', 'collateral'), ('fee_revenue', 'fee_revenue'), ('tax_payable', 'tax_payable'), ('promo', 'promo'), ('rounding', 'rounding'), ('suspense', 'suspense'), ('penalty', 'penalty'), ('bundle_margin', 'bundle_margin')], max_length=20)),
                ('currency', models.CharField(max_length=3)),
                ('normal_side', models.CharField(choices=[('debit', 'Debit'), ('credit', 'Credit')], max_length=6)),
                ('stored', models.BooleanField()),
                ('posted_micros', models.BigIntegerField(default=0)),
                ('held_micros', models.BigIntegerField(default=0)),
                ('floor_micros', models.BigIntegerField(default=0)),
                ('organisation', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organisation')),
            ],
        ),
        migrations.CreateModel(
            name='Hold',
            fields=[
                ('id', models.UUIDField(default=accounts.kernel.ids.new, primary_key=True, serialize=False)),
                ('currency', models.CharField(max_length=3)),
                ('rest_micros', models.BigIntegerField()),
                ('expires_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField()),
                ('account', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='holds', to='ledger.account')),
                ('parent', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ledger.hold')),
            ],
        ),
        migrations.CreateModel(
            name='Transfer',
            fields=[
                ('id', models.UUIDField(default=accounts.kernel.ids.new, primary_key=True, serialize=False)),
                ('key', models.CharField(max_length=200)),
                ('kind', models.CharField(max_length=40)),
                ('currency', models.CharField(max_length=3)),
                ('reason', models.CharField(blank=True, max_length=500)),
                ('content_hash', models.BinaryField(max_length=32)),
                ('created_at', models.DateTimeField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('key',), name='ledger_transfer_key'), models.CheckConstraint(condition=models.Q(('currency__regex', '^[A-Z]{3}$')), name='ledger_transfer_currency'), models.CheckConstraint(condition=models.Q(('kind__regex', '^[a-z][a-z_]*$')), name='ledger_transfer_kind')],
            },
        ),
        migrations.CreateModel(
            name='HoldEvent',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('place', 'Placed'), ('increase', 'Increased'), ('decrease', 'Decreased'), ('split', 'Split'), ('post', 'Posted'), ('release', 'Released'), ('void', 'Voided'), ('expire', 'Expired')], max_length=8)),
                ('amount_micros', models.BigIntegerField()),
                ('key', models.CharField(max_length=200, null=True)),
                ('created_at', models.DateTimeField()),
                ('child', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ledger.hold')),
                ('hold', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='events', to='ledger.hold')),
                ('transfer', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='posted_holds', to='ledger.transfer')),
            ],
        ),
        migrations.CreateModel(
            name='Entry',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('position', models.SmallIntegerField()),
                ('direction', models.CharField(choices=[('debit', 'Debit'), ('credit', 'Credit')], max_length=6)),
                ('amount_micros', models.BigIntegerField()),
                ('account', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='entries', to='ledger.account')),
                ('transfer', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='entries', to='ledger.transfer')),
            ],
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.UniqueConstraint(fields=('organisation', 'kind', 'currency'), name='ledger_account_once', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(('stored', False), ('posted_micros__gte', django.db.models.expressions.CombinedExpression(models.F('floor_micros'), '+', models.F('held_micros'))), _connector='OR'), name='ledger_account_floor'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(('held_micros__gte', 0)), name='ledger_account_held'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(('floor_micros__gt', -4611686018427387904), ('floor_micros__lte', 0)), name='ledger_account_credit_limit'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(('held_micros__lt', 4611686018427387904), ('posted_micros__gt', -4611686018427387904), ('posted_micros__lt', 4611686018427387904)), name='ledger_account_bounds'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(('stored', True), models.Q(('floor_micros', 0), ('held_micros', 0), ('posted_micros', 0)), _connector='OR'), name='ledger_account_not_stored'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind__in', ['collateral', 'payable_available', 'payable_held', 'receivable', 'wallet']), ('stored', True)), models.Q(('kind__in', ['bundle_margin', 'cash_clearing', 'fee_revenue', 'penalty', 'promo', 'rounding', 'suspense', 'tax_payable', 'unbilled']), ('stored', False)), _connector='OR'), name='ledger_account_kind'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind__in', ['cash_clearing', 'receivable', 'promo']), ('normal_side', 'debit')), models.Q(('kind__in', ['wallet', 'unbilled', 'payable_held', 'payable_available', 'collateral', 'fee_revenue', 'tax_payable', 'rounding', 'suspense', 'penalty', 'bundle_margin']), ('normal_side', 'credit')), _connector='OR'), name='ledger_account_side'),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(('currency__regex', '^[A-Z]{3}$')), name='ledger_account_currency'),
        ),
        migrations.AddIndex(
            model_name='hold',
            index=models.Index(condition=models.Q(('expires_at__isnull', False), ('rest_micros__gt', 0)), fields=['expires_at'], name='ledger_hold_due'),
        ),
        migrations.AddConstraint(
            model_name='hold',
            constraint=models.CheckConstraint(condition=models.Q(('rest_micros__gte', 0), ('rest_micros__lt', 4611686018427387904)), name='ledger_hold_rest'),
        ),
        migrations.AddIndex(
            model_name='holdevent',
            index=models.Index(condition=models.Q(('kind', 'place'), _negated=True), fields=['hold'], name='ledger_holdevent_of_hold'),
        ),
        migrations.AddIndex(
            model_name='holdevent',
            index=models.Index(condition=models.Q(('kind', 'post')), fields=['transfer'], name='ledger_holdevent_of_transfer'),
        ),
        migrations.AddConstraint(
            model_name='holdevent',
            constraint=models.UniqueConstraint(fields=('key',), name='ledger_holdevent_key'),
        ),
        migrations.AddConstraint(
            model_name='holdevent',
            constraint=models.UniqueConstraint(condition=models.Q(('kind', 'place')), fields=('hold',), name='ledger_holdevent_placed_once'),
        ),
        migrations.AddConstraint(
            model_name='holdevent',
            constraint=models.CheckConstraint(condition=models.Q(('amount_micros__gt', 0), ('amount_micros__lt', 4611686018427387904)), name='ledger_holdevent_amount'),
        ),
        migrations.AddConstraint(
            model_name='holdevent',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'post'), ('transfer__isnull', False)), models.Q(('kind__in', ['place', 'increase', 'decrease', 'split', 'release', 'void', 'expire']), ('transfer__isnull', True)), _connector='OR'), name='ledger_holdevent_transfer'),
        ),
        migrations.AddConstraint(
            model_name='holdevent',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('child__isnull', False), ('kind', 'split')), models.Q(models.Q(('kind', 'split'), _negated=True), ('child__isnull', True)), _connector='OR'), name='ledger_holdevent_child'),
        ),
        migrations.AddConstraint(
            model_name='holdevent',
            constraint=models.CheckConstraint(condition=models.Q(('key__isnull', False), ('kind', 'place'), _connector='OR'), name='ledger_holdevent_has_key'),
        ),
        migrations.AddIndex(
            model_name='entry',
            index=models.Index(fields=['account', 'id'], name='ledger_entry_of_account'),
        ),
        migrations.AddConstraint(
            model_name='entry',
            constraint=models.UniqueConstraint(fields=('transfer', 'position'), name='ledger_entry_position'),
        ),
        migrations.AddConstraint(
            model_name='entry',
            constraint=models.CheckConstraint(condition=models.Q(('amount_micros__gt', 0), ('amount_micros__lt', 4611686018427387904)), name='ledger_entry_amount'),
        ),
        migrations.AddConstraint(
            model_name='entry',
            constraint=models.CheckConstraint(condition=models.Q(('direction__in', ['debit', 'credit'])), name='ledger_entry_direction'),
        ),
        migrations.RunSQL(TRIGGERS, DROP_TRIGGERS),
    ]
