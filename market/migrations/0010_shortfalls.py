"""What a seller owes where it did not deliver, or not as promised, and what was bought again."""

import django.db.models.deletion
from django.db import migrations, models

TRIGGER = """
CREATE TRIGGER market_buyback_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON market_buyback
    FOR EACH STATEMENT EXECUTE FUNCTION market_refuse_change();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('market', '0009_pacing'),
    ]

    operations = [
        migrations.CreateModel(
            name='BuyBack',
            fields=[
                ('charge', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='buy_back', serialize=False, to='market.charge')),
                ('created_at', models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name='allocationuse',
            name='judged',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='allocationuse',
            name='kept',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='market',
            name='shortfall_bps',
            field=models.PositiveIntegerField(default=10000),
        ),
        migrations.AlterField(
            model_name='charge',
            name='kind',
            field=models.CharField(choices=[('take_or_pay', 'Bought, not drawn'), ('cancellation', 'Cancellation fee'), ('promise', 'Promise not kept'), ('shortfall', 'Not delivered')], max_length=12),
        ),
        migrations.AddConstraint(
            model_name='allocationuse',
            constraint=models.CheckConstraint(condition=models.Q(('kept__lte', models.F('judged'))), name='market_use_kept_are_judged'),
        ),
        migrations.AddField(
            model_name='buyback',
            name='order',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='market.order'),
        ),
        migrations.RunSQL(TRIGGER, 'DROP TRIGGER market_buyback_append_only ON market_buyback'),
    ]
