"""Tables of the market, and the triggers that guard them."""


import accounts.kernel.ids
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.math
import django.db.models.lookups
from django.db import migrations, models


TRIGGERS = """
CREATE FUNCTION market_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_TABLE_NAME || '_append_only';
END $$;

CREATE TRIGGER market_order_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON market_order
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
CREATE TRIGGER market_orderend_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON market_orderend
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
CREATE TRIGGER market_fill_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON market_fill
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
CREATE TRIGGER market_allocation_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON market_allocation
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
CREATE TRIGGER market_roundprice_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON market_roundprice
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
CREATE TRIGGER market_round_kept BEFORE DELETE OR TRUNCATE ON market_round
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();

-- A round goes open -> frozen -> cleared. A worker that wakes up late finds it cleared, and is refused.
CREATE FUNCTION market_guard_round() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT (OLD.state = 'open' AND NEW.state = 'frozen' OR OLD.state = 'frozen' AND NEW.state = 'cleared') THEN
        RAISE EXCEPTION 'round % goes from % to %', OLD.number, OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_round_steps';
    END IF;
    IF (NEW.id, NEW.market_id, NEW.number, NEW.seed_commitment, NEW.opened_at)
        IS DISTINCT FROM (OLD.id, OLD.market_id, OLD.number, OLD.seed_commitment, OLD.opened_at)
        OR OLD.root IS NOT NULL AND (NEW.root, NEW.closed_at) IS DISTINCT FROM (OLD.root, OLD.closed_at) THEN
        RAISE EXCEPTION 'what round % has said stands', OLD.number
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_round_fixed';
    END IF;
    IF NEW.seed IS NOT NULL AND sha256(NEW.seed) <> NEW.seed_commitment THEN
        RAISE EXCEPTION 'the seed of round % is not the one committed to', OLD.number
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_round_commitment';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER market_round_steps BEFORE UPDATE ON market_round
    FOR EACH ROW EXECUTE FUNCTION market_guard_round();

-- Fills take from the book, all rows of a statement at once. Refused: a fill without a frozen round, of another
-- product or cell, beyond its limit, beyond what is left, and cells where bought and sold differ.
-- EXECUTE plans a statement anew each time: a plan kept from a round of ten fills is wrong for a hundred thousand, and
-- one kept from a large round would read all fills there ever were.
CREATE FUNCTION market_take_fills() RETURNS trigger LANGUAGE plpgsql AS $$
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
        WHERE b.side IS DISTINCT FROM f.side OR c.product_id IS DISTINCT FROM b.product_id
            OR CASE b.side WHEN 0 THEN f.price_micros > b.limit_micros
                ELSE f.price_micros < b.limit_micros OR f.cell_id <> b.cell_id END LIMIT 1
    $q$ INTO culprit;
    IF culprit IS NOT NULL THEN
        RAISE EXCEPTION 'order % is not in the book, or its fill breaks its terms', culprit
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_fill_terms';
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
CREATE TRIGGER market_fill_takes AFTER INSERT ON market_fill
    REFERENCING NEW TABLE AS new_fills FOR EACH STATEMENT EXECUTE FUNCTION market_take_fills();

-- Allocations of an order in a cell add up to its fill there, at the fill's price, while their round is frozen.
CREATE FUNCTION market_match_allocations() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    culprit uuid;
BEGIN
    SELECT a.round_id INTO culprit FROM (SELECT DISTINCT round_id FROM new_allocations) a
        LEFT JOIN market_round r ON r.id = a.round_id AND r.state = 'frozen' WHERE r.id IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'an allocation needs a frozen round, % is none', culprit
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_allocation_round';
    END IF;
    EXECUTE $q$
        SELECT a.order_id FROM (
            SELECT round_id, cell_id, buy_order_id AS order_id, 0 AS side, sum(quantity_st) AS quantity,
                min(price_micros) AS low, max(price_micros) AS high FROM new_allocations GROUP BY 1, 2, 3
            UNION ALL
            SELECT round_id, cell_id, sell_order_id, 1, sum(quantity_st), min(price_micros), max(price_micros)
            FROM new_allocations GROUP BY 1, 2, 3
        ) a LEFT JOIN market_fill f ON f.order_id = a.order_id AND f.round_id = a.round_id AND f.cell_id = a.cell_id
        WHERE f.side IS DISTINCT FROM a.side OR f.quantity_st <> a.quantity
            OR f.price_micros <> a.low OR a.low <> a.high LIMIT 1
    $q$ INTO culprit;
    IF culprit IS NOT NULL THEN
        RAISE EXCEPTION 'the allocations of order % do not add up to its fill', culprit
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_allocation_sums';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER market_allocation_sums AFTER INSERT ON market_allocation
    REFERENCING NEW TABLE AS new_allocations FOR EACH STATEMENT EXECUTE FUNCTION market_match_allocations();
"""

# The tables go with the migration, and their triggers with them.
DROP_TRIGGERS = """
DROP FUNCTION market_refuse_change() CASCADE;
DROP FUNCTION market_guard_round() CASCADE;
DROP FUNCTION market_take_fills() CASCADE;
DROP FUNCTION market_match_allocations() CASCADE;
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_initial'),
        ('ledger', '0001_initial'),
    ]

    operations = [
        migrations.RunSQL('CREATE SEQUENCE market_order_sequence', 'DROP SEQUENCE market_order_sequence'),
        migrations.CreateModel(
            name='Cell',
            fields=[
                ('id', models.UUIDField(default=accounts.kernel.ids.new, primary_key=True, serialize=False)),
                ('region', models.CharField(max_length=40)),
                ('tier', models.CharField(max_length=20)),
                ('vendor', models.CharField(max_length=40)),
                ('data_terms', models.CharField(max_length=100)),
            ],
        ),
        migrations.CreateModel(
            name='Market',
            fields=[
                ('id', models.UUIDField(default=accounts.kernel.ids.new, primary_key=True, serialize=False)),
                ('slug', models.SlugField(unique=True)),
                ('name', models.CharField(max_length=100)),
                ('currency', models.CharField(max_length=3)),
                ('tick_seconds', models.PositiveSmallIntegerField(default=5)),
                ('fee_bps', models.PositiveIntegerField(default=0)),
                ('settlement_mode', models.CharField(choices=[('principal', 'Principal'), ('agent', 'Agent')], default='principal', max_length=10)),
                ('state', models.CharField(choices=[('open', 'Open'), ('halted', 'Halted'), ('parked', 'Parked')], default='open', max_length=10)),
                ('state_reason', models.CharField(blank=True, default='', max_length=500)),
                ('failures', models.PositiveSmallIntegerField(default=0)),
                ('round_number', models.BigIntegerField(default=1)),
                ('seed', models.BinaryField(max_length=32)),
                ('next_close_at', models.DateTimeField()),
                ('created_at', models.DateTimeField()),
                ('operator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organisation')),
            ],
        ),
        migrations.CreateModel(
            name='GradeTerms',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('grade', models.CharField(choices=[('realtime', 'Realtime'), ('interactive', 'Interactive'), ('batch', 'Batch')], max_length=12)),
                ('tick_micros', models.BigIntegerField(default=10000)),
                ('lot_st', models.BigIntegerField(default=1000)),
                ('market', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='terms', to='market.market')),
            ],
        ),
        migrations.CreateModel(
            name='FeedFrame',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sequence', models.BigIntegerField()),
                ('previous', models.BigIntegerField()),
                ('payload', models.TextField()),
                ('created_at', models.DateTimeField()),
                ('market', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='market.market')),
            ],
        ),
        migrations.CreateModel(
            name='ModelLine',
            fields=[
                ('id', models.UUIDField(default=accounts.kernel.ids.new, primary_key=True, serialize=False)),
                ('slug', models.SlugField(max_length=80, unique=True)),
                ('publisher', models.CharField(max_length=100)),
                ('model', models.CharField(max_length=200)),
                ('display_name', models.CharField(max_length=200)),
                ('card_name', models.CharField(max_length=100)),
                ('card_format', models.CharField(max_length=20)),
                ('card_digest', models.CharField(max_length=64)),
                ('context_limit', models.PositiveIntegerField()),
                ('reference_context', models.PositiveIntegerField()),
                ('tokenizer', models.CharField(max_length=100)),
                ('provisional', models.BooleanField(default=False)),
                ('state', models.CharField(choices=[('active', 'Active'), ('retired', 'Retired')], default='active', max_length=10)),
                ('created_at', models.DateTimeField()),
                ('owner', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organisation')),
            ],
        ),
        migrations.CreateModel(
            name='ListPrice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('grade', models.CharField(choices=[('realtime', 'Realtime'), ('interactive', 'Interactive'), ('batch', 'Batch')], max_length=12)),
                ('price_micros', models.BigIntegerField()),
                ('valid_from', models.DateField()),
                ('source', models.CharField(max_length=300)),
                ('line', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='list_prices', to='market.modelline')),
            ],
        ),
        migrations.CreateModel(
            name='Product',
            fields=[
                ('id', models.UUIDField(default=accounts.kernel.ids.new, primary_key=True, serialize=False)),
                ('grade', models.CharField(choices=[('realtime', 'Realtime'), ('interactive', 'Interactive'), ('batch', 'Batch')], max_length=12)),
                ('window_start', models.DateTimeField()),
                ('window_end', models.DateTimeField()),
                ('created_at', models.DateTimeField()),
                ('line', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='products', to='market.modelline')),
                ('market', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='products', to='market.market')),
            ],
        ),
        migrations.CreateModel(
            name='Order',
            fields=[
                ('id', models.UUIDField(default=accounts.kernel.ids.new, primary_key=True, serialize=False)),
                ('side', models.PositiveSmallIntegerField(choices=[(0, 'Buy'), (1, 'Sell')])),
                ('quantity_st', models.BigIntegerField()),
                ('limit_micros', models.BigIntegerField()),
                ('time_in_force', models.CharField(choices=[('ioc', 'Ioc'), ('gtt', 'Gtt'), ('gtc', 'Gtc')], max_length=3)),
                ('expires_at', models.DateTimeField()),
                ('client_order_id', models.CharField(max_length=100, null=True)),
                ('sequence', models.BigIntegerField(db_default=models.Func(models.Value('market_order_sequence'), function='nextval', output_field=models.BigIntegerField()))),
                ('cohort', models.BigIntegerField()),
                ('placed_by', models.UUIDField(null=True)),
                ('created_at', models.DateTimeField()),
                ('hold', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ledger.hold')),
                ('organisation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organisation')),
                ('cell', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='market.cell')),
                ('market', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='market.market')),
                ('product', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='orders', to='market.product')),
            ],
        ),
        migrations.AddField(
            model_name='cell',
            name='product',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='cells', to='market.product'),
        ),
        migrations.CreateModel(
            name='Allocation',
            fields=[
                ('id', models.UUIDField(default=accounts.kernel.ids.new, primary_key=True, serialize=False)),
                ('deployment_id', models.UUIDField()),
                ('pool_id', models.UUIDField()),
                ('quantity_st', models.BigIntegerField()),
                ('price_micros', models.BigIntegerField()),
                ('round_number', models.BigIntegerField()),
                ('created_at', models.DateTimeField()),
                ('buyer', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organisation')),
                ('hold', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ledger.hold')),
                ('seller', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organisation')),
                ('buy_order', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='bought', to='market.order')),
                ('sell_order', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='sold', to='market.order')),
                ('cell', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='market.cell')),
                ('product', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='market.product')),
            ],
        ),
        migrations.CreateModel(
            name='Reservation',
            fields=[
                ('id', models.UUIDField(default=accounts.kernel.ids.new, primary_key=True, serialize=False)),
                ('request_id', models.CharField(max_length=100, unique=True)),
                ('state', models.CharField(choices=[('open', 'Open'), ('settled', 'Settled'), ('released', 'Released'), ('expired', 'Expired')], default='open', max_length=10)),
                ('expires_at', models.DateTimeField()),
                ('created_at', models.DateTimeField()),
                ('organisation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organisation')),
            ],
        ),
        migrations.CreateModel(
            name='ReservationPart',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveSmallIntegerField()),
                ('micro_st', models.BigIntegerField()),
                ('used_micro_st', models.BigIntegerField(default=0)),
                ('allocation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='market.allocation')),
                ('reservation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='parts', to='market.reservation')),
            ],
        ),
        migrations.CreateModel(
            name='Round',
            fields=[
                ('id', models.UUIDField(default=accounts.kernel.ids.new, primary_key=True, serialize=False)),
                ('number', models.BigIntegerField()),
                ('state', models.CharField(choices=[('open', 'Open'), ('frozen', 'Frozen'), ('cleared', 'Cleared')], default='open', max_length=10)),
                ('seed_commitment', models.BinaryField(max_length=32)),
                ('seed', models.BinaryField(max_length=32, null=True)),
                ('root', models.BinaryField(max_length=32, null=True)),
                ('cutoff_sequence', models.BigIntegerField(null=True)),
                ('opened_at', models.DateTimeField()),
                ('closed_at', models.DateTimeField(null=True)),
                ('cleared_at', models.DateTimeField(null=True)),
                ('orders', models.PositiveIntegerField(default=0)),
                ('products', models.PositiveIntegerField(default=0)),
                ('fills', models.PositiveIntegerField(default=0)),
                ('volume_st', models.BigIntegerField(default=0)),
                ('engine_micros', models.BigIntegerField(default=0)),
                ('market', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='rounds', to='market.market')),
            ],
        ),
        migrations.CreateModel(
            name='Fill',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('side', models.PositiveSmallIntegerField(choices=[(0, 'Buy'), (1, 'Sell')])),
                ('quantity_st', models.BigIntegerField()),
                ('price_micros', models.BigIntegerField()),
                ('cell', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='market.cell')),
                ('order', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='fills', to='market.order')),
                ('round', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='filled', to='market.round')),
            ],
        ),
        migrations.AddField(
            model_name='allocation',
            name='round',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='allocations', to='market.round'),
        ),
        migrations.CreateModel(
            name='RoundPrice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.BigIntegerField()),
                ('price_micros', models.BigIntegerField(null=True)),
                ('low_micros', models.BigIntegerField(null=True)),
                ('high_micros', models.BigIntegerField(null=True)),
                ('volume_st', models.BigIntegerField()),
                ('welfare', models.DecimalField(decimal_places=0, max_digits=38)),
                ('indicative_micros', models.BigIntegerField(null=True)),
                ('collar_low_micros', models.BigIntegerField(null=True)),
                ('collar_high_micros', models.BigIntegerField(null=True)),
                ('collar_hit', models.BooleanField(default=False)),
                ('collar_bps', models.PositiveIntegerField()),
                ('collar_hits', models.PositiveSmallIntegerField()),
                ('bids', models.PositiveIntegerField()),
                ('offers', models.PositiveIntegerField()),
                ('curve', models.JSONField()),
                ('product', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='prices', to='market.product')),
                ('round', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='prices', to='market.round')),
            ],
        ),
        migrations.CreateModel(
            name='Supply',
            fields=[
                ('id', models.UUIDField(default=accounts.kernel.ids.new, primary_key=True, serialize=False)),
                ('pool_id', models.UUIDField()),
                ('exclusive_group', models.UUIDField()),
                ('deployment_id', models.UUIDField()),
                ('window_start', models.DateTimeField()),
                ('rate_st_per_second', models.BigIntegerField()),
                ('offered_st', models.BigIntegerField()),
                ('sold_st', models.BigIntegerField(default=0)),
                ('due_micro_st_per_second', models.BigIntegerField(default=0)),
                ('declared_at', models.DateTimeField()),
                ('cell', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='supplies', to='market.cell')),
                ('organisation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organisation')),
            ],
        ),
        migrations.AddField(
            model_name='order',
            name='supply',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='market.supply'),
        ),
        migrations.CreateModel(
            name='AllocationUse',
            fields=[
                ('allocation', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='use', serialize=False, to='market.allocation')),
                ('bought_micro_st', models.BigIntegerField()),
                ('reserved_micro_st', models.BigIntegerField(default=0)),
                ('drawn_micro_st', models.BigIntegerField(default=0)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('drawn_micro_st__gte', 0), ('reserved_micro_st__gte', 0)), name='market_use_positive'), models.CheckConstraint(condition=models.Q(('bought_micro_st__gte', django.db.models.expressions.CombinedExpression(models.F('reserved_micro_st'), '+', models.F('drawn_micro_st')))), name='market_use_within_bought')],
            },
        ),
        migrations.CreateModel(
            name='Book',
            fields=[
                ('order', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='book', serialize=False, to='market.order')),
                ('market_id', models.UUIDField()),
                ('organisation_id', models.UUIDField()),
                ('side', models.PositiveSmallIntegerField(choices=[(0, 'Buy'), (1, 'Sell')])),
                ('limit_micros', models.BigIntegerField()),
                ('quantity_left_st', models.BigIntegerField()),
                ('cohort', models.BigIntegerField()),
                ('sequence', models.BigIntegerField()),
                ('next_round_only', models.BooleanField()),
                ('expires_at', models.DateTimeField()),
                ('hold_id', models.UUIDField(null=True)),
                ('supply_id', models.UUIDField(null=True)),
                ('cell_id', models.UUIDField(null=True)),
                ('product', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, related_name='book', to='market.product')),
            ],
        ),
        migrations.CreateModel(
            name='OrderEnd',
            fields=[
                ('order', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='end', serialize=False, to='market.order')),
                ('reason', models.CharField(choices=[('filled', 'Filled'), ('cancelled', 'Cancelled'), ('expired', 'Expired'), ('refused', 'Refused')], max_length=10)),
                ('unfilled_st', models.BigIntegerField()),
                ('at', models.DateTimeField()),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('reason', 'filled'), ('unfilled_st', 0)), models.Q(models.Q(('reason', 'filled'), _negated=True), ('unfilled_st__gt', 0)), _connector='OR'), name='market_end_says_the_rest')],
            },
        ),
        migrations.AddConstraint(
            model_name='market',
            constraint=models.UniqueConstraint(fields=('currency',), name='market_currency_once'),
        ),
        migrations.AddConstraint(
            model_name='market',
            constraint=models.CheckConstraint(condition=models.Q(('tick_seconds__gte', 1)), name='market_tick_positive'),
        ),
        migrations.AddConstraint(
            model_name='market',
            constraint=models.CheckConstraint(condition=models.Q(('fee_bps__lt', 10000)), name='market_fee_below_all'),
        ),
        migrations.AddConstraint(
            model_name='gradeterms',
            constraint=models.UniqueConstraint(fields=('market', 'grade'), name='market_terms_once'),
        ),
        migrations.AddConstraint(
            model_name='gradeterms',
            constraint=models.CheckConstraint(condition=models.Q(('lot_st__gt', 0), ('tick_micros__gt', 0)), name='market_terms_positive'),
        ),
        migrations.AddConstraint(
            model_name='gradeterms',
            constraint=models.CheckConstraint(condition=django.db.models.lookups.Exact(django.db.models.functions.math.Mod(django.db.models.expressions.CombinedExpression(models.F('tick_micros'), '*', models.F('lot_st')), 1000000, output_field=models.BigIntegerField()), 0), name='market_terms_whole_holds'),
        ),
        migrations.AddConstraint(
            model_name='feedframe',
            constraint=models.UniqueConstraint(fields=('market', 'sequence'), name='market_frame_once'),
        ),
        migrations.AddConstraint(
            model_name='modelline',
            constraint=models.CheckConstraint(condition=models.Q(('reference_context__gt', 0), ('reference_context__lte', models.F('context_limit'))), name='market_line_reference_fits'),
        ),
        migrations.AddConstraint(
            model_name='listprice',
            constraint=models.UniqueConstraint(fields=('line', 'grade', 'valid_from'), name='market_list_price_once'),
        ),
        migrations.AddConstraint(
            model_name='listprice',
            constraint=models.CheckConstraint(condition=models.Q(('price_micros__gt', 0)), name='market_list_price_positive'),
        ),
        migrations.AddConstraint(
            model_name='product',
            constraint=models.UniqueConstraint(fields=('market', 'line', 'grade', 'window_start'), name='market_product_once'),
        ),
        migrations.AddConstraint(
            model_name='product',
            constraint=models.CheckConstraint(condition=models.Q(('window_end__gt', models.F('window_start'))), name='market_product_window'),
        ),
        migrations.AddConstraint(
            model_name='cell',
            constraint=models.UniqueConstraint(fields=('product', 'region', 'tier', 'vendor', 'data_terms'), name='market_cell_once'),
        ),
        migrations.AddIndex(
            model_name='reservation',
            index=models.Index(condition=models.Q(('state', 'open')), fields=['expires_at'], name='market_reservation_open'),
        ),
        migrations.AddConstraint(
            model_name='reservationpart',
            constraint=models.UniqueConstraint(fields=('reservation', 'allocation'), name='market_reservation_part_once'),
        ),
        migrations.AddConstraint(
            model_name='reservationpart',
            constraint=models.CheckConstraint(condition=models.Q(('micro_st__gt', 0), ('used_micro_st__gte', 0), ('used_micro_st__lte', models.F('micro_st'))), name='market_reservation_part_bounds'),
        ),
        migrations.AddConstraint(
            model_name='round',
            constraint=models.UniqueConstraint(fields=('market', 'number'), name='market_round_once'),
        ),
        migrations.AddConstraint(
            model_name='round',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('closed_at__isnull', True), ('root__isnull', True), ('seed__isnull', True), ('state', 'open')), models.Q(('closed_at__isnull', False), ('root__isnull', False), ('seed__isnull', True), ('state', 'frozen')), models.Q(('closed_at__isnull', False), ('root__isnull', False), ('seed__isnull', False), ('state', 'cleared')), _connector='OR'), name='market_round_seed_after_root'),
        ),
        migrations.AddConstraint(
            model_name='fill',
            constraint=models.UniqueConstraint(fields=('order', 'round', 'cell'), name='market_fill_once'),
        ),
        migrations.AddConstraint(
            model_name='fill',
            constraint=models.CheckConstraint(condition=models.Q(('price_micros__gt', 0), ('quantity_st__gt', 0)), name='market_fill_positive'),
        ),
        migrations.AddIndex(
            model_name='allocation',
            index=models.Index(fields=['buyer', 'product', 'round_number'], name='market_allocation_by_buyer'),
        ),
        migrations.AddIndex(
            model_name='allocation',
            index=models.Index(fields=['seller', 'product'], name='market_allocation_by_seller'),
        ),
        migrations.AddConstraint(
            model_name='allocation',
            constraint=models.CheckConstraint(condition=models.Q(('price_micros__gt', 0), ('quantity_st__gt', 0)), name='market_allocation_positive'),
        ),
        migrations.AddIndex(
            model_name='roundprice',
            index=models.Index(condition=models.Q(('volume_st__gt', 0)), fields=['product', '-number'], name='market_price_traded'),
        ),
        migrations.AddIndex(
            model_name='roundprice',
            index=models.Index(fields=['product', '-number'], name='market_price_latest'),
        ),
        migrations.AddConstraint(
            model_name='roundprice',
            constraint=models.UniqueConstraint(fields=('round', 'product'), name='market_round_price_once'),
        ),
        migrations.AddConstraint(
            model_name='roundprice',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('price_micros__isnull', True), ('volume_st', 0)), models.Q(('price_micros__isnull', False), ('volume_st__gt', 0)), _connector='OR'), name='market_no_trade_no_price'),
        ),
        migrations.AddIndex(
            model_name='supply',
            index=models.Index(fields=['exclusive_group', 'window_start'], name='market_supply_group'),
        ),
        migrations.AddConstraint(
            model_name='supply',
            constraint=models.CheckConstraint(condition=models.Q(('sold_st__gte', 0)), name='market_supply_sold_positive'),
        ),
        migrations.AddConstraint(
            model_name='supply',
            constraint=models.CheckConstraint(condition=models.Q(('sold_st__lte', models.F('offered_st'))), name='market_supply_not_oversold'),
        ),
        migrations.AddConstraint(
            model_name='supply',
            constraint=models.CheckConstraint(condition=models.Q(('offered_st__gt', 0), ('offered_st__lte', 1000000000000000), ('rate_st_per_second__gt', 0)), name='market_supply_bounds'),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(fields=['organisation', '-id'], name='market_order_by_organisation'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.UniqueConstraint(condition=models.Q(('client_order_id__isnull', False)), fields=('organisation', 'client_order_id'), name='market_client_order_id_once'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(('quantity_st__gt', 0), ('quantity_st__lte', 1000000000000000)), name='market_order_quantity'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(('limit_micros__gt', 0), ('limit_micros__lte', 1000000000000)), name='market_order_limit'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('cell__isnull', True), ('hold__isnull', False), ('side', 0), ('supply__isnull', True)), models.Q(('cell__isnull', False), ('hold__isnull', True), ('side', 1), ('supply__isnull', False)), _connector='OR'), name='market_order_backed'),
        ),
        migrations.AddIndex(
            model_name='book',
            index=models.Index(fields=['organisation_id', 'product'], name='market_book_by_organisation'),
        ),
        migrations.AddIndex(
            model_name='book',
            index=models.Index(fields=['expires_at'], name='market_book_by_expiry'),
        ),
        migrations.AddIndex(
            model_name='book',
            index=models.Index(condition=models.Q(('supply_id__isnull', False)), fields=['supply_id'], name='market_book_by_supply'),
        ),
        migrations.AddConstraint(
            model_name='book',
            constraint=models.CheckConstraint(condition=models.Q(('quantity_left_st__gt', 0)), name='market_book_left_positive'),
        ),
        migrations.RunSQL(TRIGGERS, DROP_TRIGGERS),
    ]
