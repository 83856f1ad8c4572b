"""Evidence by signature, sequences and their gaps, voids, and how quarantined records end."""

import django.db.models.deletion
import metering_ingest.models
from django.db import migrations, models

KEPT = "".join(
    f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
    "FOR EACH STATEMENT EXECUTE FUNCTION metering_refuse_change();\n"
    for table in ("metering_sequence", "metering_checkpoint", "metering_void", "metering_reversal", "metering_resolution")
)


class Migration(migrations.Migration):

    dependencies = [
        ('metering_ingest', '0010_reconciliation'),
    ]

    operations = [
        migrations.CreateModel(
            name='Resolution',
            fields=[
                ('key', models.UUIDField(primary_key=True, serialize=False)),
                ('action', models.CharField(choices=[('released', 'Released'), ('rejected', 'Rejected')], max_length=8)),
                ('reason', models.CharField(max_length=200)),
                ('organisation_id', models.UUIDField()),
                ('user_id', models.UUIDField(null=True)),
                ('at', models.DateTimeField()),
            ],
            options={
                'db_table': 'metering_resolution',
            },
        ),
        migrations.CreateModel(
            name='Sequence',
            fields=[
                ('pk', models.CompositePrimaryKey('epoch_id', 'seq', blank=True, editable=False, primary_key=True, serialize=False)),
                ('epoch_id', models.BigIntegerField()),
                ('seq', models.BigIntegerField()),
                ('key', models.UUIDField()),
            ],
            options={
                'db_table': 'metering_sequence',
            },
        ),
        migrations.AddField(
            model_name='conflict',
            name='agent_id',
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name='conflict',
            name='kind',
            field=models.CharField(choices=[('content', 'Same id, other content'), ('sequence', 'Same sequence, other id')], default='content', max_length=8),
        ),
        migrations.AddField(
            model_name='conflict',
            name='other_key',
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name='quarantined',
            name='agent_id',
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name='quarantined',
            name='evidence',
            field=models.CharField(choices=[('unsigned', 'Bearer key, unsigned'), ('signed', "Signed by an agent's key")], default='unsigned', max_length=8),
        ),
        migrations.AddField(
            model_name='usagerecord',
            name='accepted_tokens',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='usagerecord',
            name='agent_id',
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name='usagerecord',
            name='aggregate_digest',
            field=models.CharField(default='', max_length=80),
        ),
        migrations.AddField(
            model_name='usagerecord',
            name='aggregate_records',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='usagerecord',
            name='counted_by',
            field=models.CharField(default='', max_length=8),
        ),
        migrations.AddField(
            model_name='usagerecord',
            name='draft_tokens',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='usagerecord',
            name='gpu_micros',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='usagerecord',
            name='served_format',
            field=models.CharField(default='', max_length=20),
        ),
        migrations.AlterField(
            model_name='usagerecord',
            name='evidence',
            field=models.CharField(choices=[('unsigned', 'Bearer key, unsigned'), ('signed', "Signed by an agent's key")], max_length=8),
        ),
        migrations.CreateModel(
            name='Epoch',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('agent_id', models.UUIDField()),
                ('epoch', models.CharField(max_length=64)),
                ('received', metering_ingest.models.Multirange()),
                ('checkpoint_seq', models.BigIntegerField(default=0)),
                ('closed', models.BooleanField(default=False)),
                ('first_at', models.DateTimeField()),
                ('last_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'metering_epoch',
                'constraints': [models.UniqueConstraint(fields=('agent_id', 'epoch'), name='epoch_of_agent')],
            },
        ),
        migrations.CreateModel(
            name='Reversal',
            fields=[
                ('key', models.UUIDField(primary_key=True, serialize=False)),
                ('void_key', models.UUIDField()),
                ('allocation_id', models.UUIDField()),
                ('card_digest', models.CharField(max_length=80)),
                ('meter', models.CharField(choices=[('gateway', 'Platform gateway'), ('agent', "Provider's agent"), ('buyer', "Buyer's receipt")], max_length=8)),
                ('prompt_tokens', models.BigIntegerField()),
                ('cached_tokens', models.BigIntegerField()),
                ('completion_tokens', models.BigIntegerField()),
                ('micro_st', models.BigIntegerField()),
                ('reversed_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'metering_reversal',
                'indexes': [models.Index(fields=['allocation_id', 'meter'], name='reversal_allocation')],
            },
        ),
        migrations.CreateModel(
            name='Void',
            fields=[
                ('key', models.UUIDField(primary_key=True, serialize=False)),
                ('voided_key', models.UUIDField()),
                ('tenant', models.UUIDField()),
                ('evidence', models.CharField(choices=[('unsigned', 'Bearer key, unsigned'), ('signed', "Signed by an agent's key")], max_length=8)),
                ('agent_id', models.UUIDField(null=True)),
                ('source', models.CharField(max_length=255)),
                ('event_id', models.CharField(max_length=255)),
                ('occurred_at', models.DateTimeField()),
                ('received_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'metering_void',
                'indexes': [models.Index(fields=['voided_key'], name='void_of'), models.Index(fields=['tenant'], name='void_tenant')],
            },
        ),
        migrations.CreateModel(
            name='Checkpoint',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('seq', models.BigIntegerField()),
                ('records', models.BigIntegerField()),
                ('prompt_tokens', models.BigIntegerField()),
                ('completion_tokens', models.BigIntegerField()),
                ('closed', models.BooleanField()),
                ('received_at', models.DateTimeField()),
                ('epoch', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='metering_ingest.epoch')),
            ],
            options={
                'db_table': 'metering_checkpoint',
                'constraints': [models.UniqueConstraint(fields=('epoch', 'seq', 'records', 'prompt_tokens', 'completion_tokens', 'closed'), name='checkpoint_once')],
            },
        ),
        migrations.RunSQL(KEPT, migrations.RunSQL.noop),
    ]
