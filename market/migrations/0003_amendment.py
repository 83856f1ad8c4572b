"""Amendments of orders, and the triggers that guard them and put them into the book."""

import django.db.models.deletion
from django.db import migrations, models


TRIGGERS = """
CREATE TRIGGER market_amendment_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON market_amendment
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();

-- The book always says what was asked last: fills look at its limit, and so at the one that holds now. Refused: an
-- amendment of an order that has ended, of another round than the open one, below what is filled, or one that keeps
-- its place in the queue at a new price or for more.
CREATE FUNCTION market_apply_amendment() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    standing market_book%ROWTYPE;
    filled bigint;
BEGIN
    SELECT * INTO standing FROM market_book WHERE order_id = NEW.order_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'order % is not open', NEW.order_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_amendment_open';
    END IF;
    IF NOT EXISTS (SELECT FROM market_market WHERE id = standing.market_id AND round_number = NEW.round_number) THEN
        RAISE EXCEPTION 'round % is not the open one', NEW.round_number
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_amendment_round';
    END IF;
    SELECT coalesce(sum(quantity_st), 0) INTO filled FROM market_fill WHERE order_id = NEW.order_id;
    IF NEW.quantity_st <= filled THEN
        RAISE EXCEPTION 'order % has % filled already', NEW.order_id, filled
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_amendment_above_filled';
    END IF;
    IF NEW.cohort <> NEW.round_number AND (NEW.cohort <> standing.cohort OR NEW.limit_micros <> standing.limit_micros
        OR NEW.quantity_st - filled > standing.quantity_left_st) THEN
        RAISE EXCEPTION 'order % is a new one of round %', NEW.order_id, NEW.round_number
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_amendment_cohort';
    END IF;
    UPDATE market_book SET limit_micros = NEW.limit_micros, quantity_left_st = NEW.quantity_st - filled,
        cohort = NEW.cohort, expires_at = NEW.expires_at WHERE order_id = NEW.order_id;
    RETURN NULL;
END $$;
CREATE TRIGGER market_amendment_applies AFTER INSERT ON market_amendment
    FOR EACH ROW EXECUTE FUNCTION market_apply_amendment();
"""

# The table goes with the migration, and its triggers with it.
DROP_TRIGGERS = "DROP FUNCTION market_apply_amendment() CASCADE;"


class Migration(migrations.Migration):

    dependencies = [
        ('market', '0002_cancel_after'),
    ]

    operations = [
        migrations.CreateModel(
            name='Amendment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('round_number', models.BigIntegerField()),
                ('quantity_st', models.BigIntegerField()),
                ('limit_micros', models.BigIntegerField()),
                ('expires_at', models.DateTimeField()),
                ('cohort', models.BigIntegerField()),
                ('amended_by', models.UUIDField(null=True)),
                ('created_at', models.DateTimeField()),
                ('order', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='amendments', to='market.order')),
            ],
            options={
                'indexes': [models.Index(fields=['order', '-id'], name='market_amendment_newest')],
                'constraints': [models.CheckConstraint(condition=models.Q(('quantity_st__gt', 0), ('quantity_st__lte', 1000000000000000)), name='market_amendment_quantity'), models.CheckConstraint(condition=models.Q(('limit_micros__gt', 0), ('limit_micros__lte', 1000000000000)), name='market_amendment_limit')],
            },
        ),
        migrations.RunSQL(TRIGGERS, DROP_TRIGGERS),
    ]
