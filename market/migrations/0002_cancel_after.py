"""The dead man's switch."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
        ('market', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='CancelAfter',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('fires_at', models.DateTimeField()),
                ('set_by', models.UUIDField(null=True)),
                ('set_at', models.DateTimeField()),
                ('market', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='market.market')),
                ('organisation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organisation')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('market', 'organisation'), name='market_cancel_after_once'), models.CheckConstraint(condition=models.Q(('fires_at__gt', models.F('set_at'))), name='market_cancel_after_later')],
            },
        ),
    ]
