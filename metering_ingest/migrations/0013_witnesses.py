"""Token counters of programs' own telemetry, append-only."""

from django.db import migrations, models

KEPT = (
    "CREATE TRIGGER metering_witness_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON metering_witness "
    "FOR EACH STATEMENT EXECUTE FUNCTION metering_refuse_change();"
)


class Migration(migrations.Migration):

    dependencies = [
        ('metering_ingest', '0012_backfills'),
    ]

    operations = [
        migrations.CreateModel(
            name='Witness',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('tenant', models.UUIDField()),
                ('metric', models.CharField(max_length=100)),
                ('token_type', models.CharField(max_length=40)),
                ('attributes', models.UUIDField()),
                ('started_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField()),
                ('value', models.BigIntegerField()),
                ('cumulative', models.BooleanField()),
                ('received_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'metering_witness',
                'indexes': [models.Index(fields=['tenant', 'ended_at'], name='witness_tenant')],
                'constraints': [models.UniqueConstraint(fields=('tenant', 'metric', 'token_type', 'attributes', 'started_at', 'ended_at'), name='witness_once'), models.CheckConstraint(condition=models.Q(('value__gte', 0)), name='witness_value')],
            },
        ),
        migrations.RunSQL(KEPT, migrations.RunSQL.noop),
    ]
