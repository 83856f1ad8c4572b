"""What follows a window: charges and ends of allocations, written once and never changed."""

import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models

TRIGGERS = """
CREATE TRIGGER market_charge_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON market_charge
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
CREATE TRIGGER market_allocationclose_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON market_allocationclose
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
-- Windows that were over before this rule held are not charged.
INSERT INTO market_closing (market_id, since, closed_until)
SELECT id, date_trunc('hour', now()), date_trunc('hour', now()) FROM market_market;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
        ('market', '0007_staged_rounds'),
    ]

    operations = [
        migrations.CreateModel(
            name='AllocationClose',
            fields=[
                ('allocation', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='close', serialize=False, to='market.allocation')),
                ('ahead', models.BooleanField()),
                ('bought_micro_st', models.BigIntegerField()),
                ('drawn_micro_st', models.BigIntegerField()),
                ('short_micro_st', models.BigIntegerField()),
                ('cancelled_micro_st', models.BigIntegerField()),
                ('undrawn_micro_st', models.BigIntegerField()),
                ('closed_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Charge',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('take_or_pay', 'Bought, not drawn'), ('cancellation', 'Cancellation fee')], max_length=12)),
                ('request_id', models.CharField(blank=True, default='', max_length=100)),
                ('micro_st', models.BigIntegerField()),
                ('price_micros', models.BigIntegerField()),
                ('exact', models.DecimalField(decimal_places=0, max_digits=38)),
                ('created_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Closing',
            fields=[
                ('market', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='+', serialize=False, to='market.market')),
                ('since', models.DateTimeField()),
                ('closed_until', models.DateTimeField()),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='allocationuse',
            name='market_use_positive',
        ),
        migrations.RemoveConstraint(
            model_name='allocationuse',
            name='market_use_within_bought',
        ),
        migrations.AddField(
            model_name='allocationuse',
            name='cancelled_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='allocationuse',
            name='ended_micro_st',
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='allocationuse',
            name='short_micro_st',
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='market',
            name='cancel_fee_bps',
            field=models.PositiveIntegerField(default=2000),
        ),
        migrations.AddIndex(
            model_name='product',
            index=models.Index(fields=['market', 'window_end'], name='market_product_by_end'),
        ),
        migrations.AddConstraint(
            model_name='allocationuse',
            constraint=models.CheckConstraint(condition=models.Q(('drawn_micro_st__gte', 0), ('ended_micro_st__gte', 0), ('reserved_micro_st__gte', 0), ('short_micro_st__gte', 0)), name='market_use_positive'),
        ),
        migrations.AddConstraint(
            model_name='allocationuse',
            constraint=models.CheckConstraint(condition=models.Q(('bought_micro_st__gte', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('reserved_micro_st'), '+', models.F('drawn_micro_st')), '+', models.F('short_micro_st')), '+', models.F('ended_micro_st')))), name='market_use_within_bought'),
        ),
        migrations.AddConstraint(
            model_name='market',
            constraint=models.CheckConstraint(condition=models.Q(('cancel_fee_bps__lte', 10000)), name='market_cancel_fee_at_most_all'),
        ),
        migrations.AddConstraint(
            model_name='allocationclose',
            constraint=models.CheckConstraint(condition=models.Q(('bought_micro_st', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('drawn_micro_st'), '+', models.F('short_micro_st')), '+', models.F('cancelled_micro_st')), '+', models.F('undrawn_micro_st'))), ('cancelled_micro_st__gte', 0), ('drawn_micro_st__gte', 0), ('short_micro_st__gte', 0), ('undrawn_micro_st__gte', 0)), name='market_close_adds_up'),
        ),
        migrations.AddField(
            model_name='charge',
            name='allocation',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='charges', to='market.allocation'),
        ),
        migrations.AddConstraint(
            model_name='closing',
            constraint=models.CheckConstraint(condition=models.Q(('closed_until__gte', models.F('since'))), name='market_closing_order'),
        ),
        migrations.AddConstraint(
            model_name='charge',
            constraint=models.UniqueConstraint(fields=('allocation', 'kind', 'request_id'), name='market_charge_once'),
        ),
        migrations.AddConstraint(
            model_name='charge',
            constraint=models.CheckConstraint(condition=models.Q(('exact__gte', 0), ('micro_st__gt', 0), ('price_micros__gte', 0)), name='market_charge_positive'),
        ),
        migrations.AddConstraint(
            model_name='charge',
            constraint=models.CheckConstraint(condition=models.Q(('kind', 'cancellation'), ('exact', django.db.models.expressions.CombinedExpression(models.F('micro_st'), '*', models.F('price_micros'))), _connector='OR'), name='market_charge_price'),
        ),
        migrations.RunSQL(TRIGGERS, migrations.RunSQL.noop),
    ]
