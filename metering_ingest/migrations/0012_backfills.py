"""Files of records that staff send beyond the time window, in parts."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('metering_ingest', '0011_signed'),
    ]

    operations = [
        migrations.CreateModel(
            name='Backfill',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('organisation_id', models.UUIDField()),
                ('name', models.CharField(max_length=200)),
                ('sha256', models.CharField(max_length=64)),
                ('reason', models.CharField(max_length=200)),
                ('records', models.IntegerField()),
                ('records_done', models.IntegerField(default=0)),
                ('counts', models.JSONField(default=dict)),
                ('state', models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('done', 'Done')], default='queued', max_length=8)),
                ('made_by_organisation', models.UUIDField()),
                ('made_by_user', models.UUIDField(null=True)),
                ('made_by_key', models.UUIDField(null=True)),
                ('made_at', models.DateTimeField()),
                ('done_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'metering_backfill',
                'constraints': [models.UniqueConstraint(condition=models.Q(('state', 'done'), _negated=True), fields=('organisation_id', 'sha256'), name='backfill_once'), models.CheckConstraint(condition=models.Q(('records_done__gte', 0), ('records_done__lte', models.F('records'))), name='backfill_progress')],
            },
        ),
        migrations.CreateModel(
            name='BackfillPart',
            fields=[
                ('pk', models.CompositePrimaryKey('backfill_id', 'number', blank=True, editable=False, primary_key=True, serialize=False)),
                ('number', models.IntegerField()),
                ('records', models.IntegerField()),
                ('content', models.BinaryField()),
                ('results', models.BinaryField(null=True)),
                ('backfill', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='metering_ingest.backfill')),
            ],
            options={
                'db_table': 'metering_backfill_part',
            },
        ),
    ]
