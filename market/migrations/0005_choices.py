"""What flexible bids accept, the prices of cells that they tell apart, and certificates of rounds."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


TRIGGERS = """
CREATE TRIGGER market_orderchoice_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON market_orderchoice
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
CREATE TRIGGER market_orderscope_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON market_orderscope
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
CREATE TRIGGER market_cellprice_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON market_cellprice
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
CREATE TRIGGER market_certificate_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON market_certificate
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();

-- As in the first migration, and beside it: a flexible bid fills in a product that it chose, at most at its limit there,
-- in a cell that its filters let in, and with its minimum at least (or all that is left of it). Every bid fills only where
-- the data terms are among those that it named, and without a word of its own only where nothing is kept.
CREATE OR REPLACE FUNCTION market_take_fills() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    culprit uuid;
    missing bigint;
BEGIN
    SELECT f.round_id INTO culprit FROM (SELECT DISTINCT round_id FROM new_fills) f
        LEFT JOIN market_round r ON r.id = f.round_id AND r.state = 'frozen' WHERE r.id IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'a fill needs a frozen round, % is none', culprit
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_fill_round';
    END IF;
    EXECUTE $q$
        SELECT f.order_id FROM new_fills f
        LEFT JOIN market_book b ON b.order_id = f.order_id
        LEFT JOIN market_cell c ON c.id = f.cell_id
        LEFT JOIN market_orderchoice x ON x.order_id = f.order_id AND x.product_id = c.product_id
        LEFT JOIN market_orderscope s ON s.order_id = f.order_id
        WHERE b.side IS DISTINCT FROM f.side
            OR x.order_id IS NULL AND c.product_id IS DISTINCT FROM b.product_id
            OR CASE b.side WHEN 0 THEN f.price_micros > coalesce(x.limit_micros, b.limit_micros)
                ELSE f.price_micros < b.limit_micros OR f.cell_id <> b.cell_id END
            OR s.vendors <> '{}' AND c.vendor <> ALL (s.vendors) OR s.regions <> '{}' AND c.region <> ALL (s.regions)
            OR s.tiers <> '{}' AND c.tier <> ALL (s.tiers)
            OR f.side = 0 AND c.data_terms <> ALL (coalesce(s.data_terms, '{no-retention}')) LIMIT 1
    $q$ INTO culprit;
    IF culprit IS NOT NULL THEN
        RAISE EXCEPTION 'order % is not in the book, or its fill breaks its terms', culprit
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_fill_terms';
    END IF;
    EXECUTE $q$
        SELECT f.order_id FROM new_fills f JOIN market_orderscope s ON s.order_id = f.order_id
        JOIN market_book b ON b.order_id = f.order_id
        GROUP BY f.order_id, s.minimum_st, b.quantity_left_st
        HAVING sum(f.quantity_st) < least(s.minimum_st, b.quantity_left_st) LIMIT 1
    $q$ INTO culprit;
    IF culprit IS NOT NULL THEN
        RAISE EXCEPTION 'order % is filled with less than its minimum', culprit
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_fill_minimum';
    END IF;
    SELECT cell_id INTO culprit FROM new_fills GROUP BY round_id, cell_id
        HAVING sum(CASE side WHEN 0 THEN quantity_st ELSE -quantity_st END) <> 0
            OR min(price_micros) <> max(price_micros) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'cell % has two prices, or bought and sold differ', culprit
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_fill_balance';
    END IF;
    EXECUTE $q$
    WITH asked AS MATERIALIZED (
        SELECT f.order_id, sum(f.quantity_st) AS quantity, max(r.closed_at) AS at
        FROM new_fills f JOIN market_round r ON r.id = f.round_id GROUP BY f.order_id
    ), whole AS (
        DELETE FROM market_book b USING asked a WHERE b.order_id = a.order_id AND b.quantity_left_st = a.quantity
        RETURNING b.order_id, a.at
    ), part AS (
        UPDATE market_book b SET quantity_left_st = b.quantity_left_st - a.quantity
        FROM asked a WHERE b.order_id = a.order_id AND b.quantity_left_st > a.quantity RETURNING b.order_id
    ), ended AS (
        INSERT INTO market_orderend (order_id, reason, unfilled_st, at)
        SELECT order_id, 'filled', 0, at FROM whole RETURNING order_id
    )
    SELECT (SELECT count(*) FROM asked) - (SELECT count(*) FROM ended) - (SELECT count(*) FROM part)
    $q$ INTO missing;
    IF missing <> 0 THEN
        RAISE EXCEPTION '% orders are filled beyond what is left of them', missing
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_fill_within_left';
    END IF;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('market', '0004_halt'),
    ]

    operations = [
        migrations.CreateModel(
            name='Certificate',
            fields=[
                ('round', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='certificate', serialize=False, to='market.round')),
                ('body', models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name='OrderScope',
            fields=[
                ('order', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='scope', serialize=False, to='market.order')),
                ('vendors', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), default=list, size=None)),
                ('regions', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), default=list, size=None)),
                ('tiers', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=20), default=list, size=None)),
                ('minimum_st', models.BigIntegerField(default=0)),
                ('data_terms', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=100), size=None)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('data_terms__len__gt', 0)), name='market_scope_data_terms'), models.CheckConstraint(condition=models.Q(('minimum_st__gte', 0), ('minimum_st__lte', 1000000000000000)), name='market_scope_minimum')],
            },
        ),
        migrations.CreateModel(
            name='CellPrice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('price_micros', models.BigIntegerField()),
                ('low_micros', models.BigIntegerField()),
                ('high_micros', models.BigIntegerField()),
                ('volume_st', models.BigIntegerField()),
                ('cell', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='market.cell')),
                ('product', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='market.product')),
                ('round', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='cell_prices', to='market.round')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('round', 'cell'), name='market_cell_price_once'), models.CheckConstraint(condition=models.Q(('price_micros__gte', models.F('low_micros')), ('price_micros__lte', models.F('high_micros')), ('volume_st__gt', 0)), name='market_cell_price_inside')],
            },
        ),
        migrations.CreateModel(
            name='OrderChoice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('limit_micros', models.BigIntegerField()),
                ('order', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='choices', to='market.order')),
                ('product', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='market.product')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('order', 'product'), name='market_choice_once'), models.CheckConstraint(condition=models.Q(('limit_micros__gt', 0), ('limit_micros__lte', 1000000000000)), name='market_choice_limit')],
            },
        ),
        migrations.RunSQL(TRIGGERS),
    ]
