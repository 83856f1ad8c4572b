"""Halts of a line or an organisation."""

import accounts.kernel.ids
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
        ('market', '0003_amendment'),
    ]

    operations = [
        migrations.CreateModel(
            name='Halt',
            fields=[
                ('id', models.UUIDField(default=accounts.kernel.ids.new, primary_key=True, serialize=False)),
                ('reason', models.CharField(max_length=500)),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField(blank=True, null=True)),
                ('imposed_by', models.UUIDField(null=True)),
                ('created_at', models.DateTimeField()),
                ('line', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='halts', to='market.modelline')),
                ('organisation', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.organisation')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('line__isnull', False), ('organisation__isnull', True)), models.Q(('line__isnull', True), ('organisation__isnull', False)), _connector='OR'), name='market_halt_of_one', violation_error_message='Name a line or an organisation, not both.'), models.CheckConstraint(condition=models.Q(('ends_at__isnull', True), ('ends_at__gte', models.F('starts_at')), _connector='OR'), name='market_halt_span', violation_error_message='A halt ends after it starts.')],
            },
        ),
    ]
