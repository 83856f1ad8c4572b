"""Ratings, their runs and what was observed of them: never changed."""

import accounts.kernel.ids
import django.db.models.deletion
from django.db import migrations, models


TRIGGERS = """
CREATE FUNCTION providers_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_TABLE_NAME || '_append_only';
END $$;
CREATE TRIGGER providers_rating_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON providers_rating
    FOR EACH STATEMENT EXECUTE FUNCTION providers_refuse_change();
CREATE TRIGGER providers_ratingrun_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON providers_ratingrun
    FOR EACH STATEMENT EXECUTE FUNCTION providers_refuse_change();
CREATE TRIGGER providers_ratingobservation_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON providers_ratingobservation
    FOR EACH STATEMENT EXECUTE FUNCTION providers_refuse_change();
"""
REVERSE = """
DROP TRIGGER providers_rating_append_only ON providers_rating;
DROP TRIGGER providers_ratingrun_append_only ON providers_ratingrun;
DROP TRIGGER providers_ratingobservation_append_only ON providers_ratingobservation;
DROP FUNCTION providers_refuse_change();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('providers', '0003_shortfall_seen'),
    ]

    operations = [
        migrations.CreateModel(
            name='Rating',
            fields=[
                ('id', models.UUIDField(default=accounts.kernel.ids.new, primary_key=True, serialize=False)),
                ('card_digest', models.CharField(max_length=64)),
                ('engine', models.CharField(max_length=40)),
                ('engine_version', models.CharField(blank=True, max_length=40)),
                ('driver', models.CharField(blank=True, max_length=40)),
                ('served_format', models.CharField(max_length=20)),
                ('tensor_parallel', models.PositiveIntegerField()),
                ('devices', models.PositiveIntegerField()),
                ('mix', models.CharField(max_length=40)),
                ('reduced', models.BooleanField()),
                ('compute_micro', models.BigIntegerField(null=True)),
                ('compute_low_micro', models.BigIntegerField()),
                ('compute_high_micro', models.BigIntegerField(null=True)),
                ('memory_micro', models.BigIntegerField(null=True)),
                ('memory_low_micro', models.BigIntegerField()),
                ('memory_high_micro', models.BigIntegerField(null=True)),
                ('blended_micro', models.BigIntegerField()),
                ('blended_low_micro', models.BigIntegerField()),
                ('blended_high_micro', models.BigIntegerField(null=True)),
                ('compute_pico_seconds', models.BigIntegerField()),
                ('memory_pico_seconds', models.BigIntegerField()),
                ('separation_bps', models.PositiveIntegerField()),
                ('residual_bps', models.PositiveIntegerField()),
                ('how', models.CharField(choices=[('agent', 'Agent'), ('operator', 'Operator')], max_length=8)),
                ('user_id', models.UUIDField(null=True)),
                ('key_id', models.UUIDField(null=True)),
                ('measured_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
                ('created_at', models.DateTimeField()),
                ('deployment', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='ratings', to='providers.deployment')),
            ],
        ),
        migrations.CreateModel(
            name='RatingObservation',
            fields=[
                ('id', models.UUIDField(default=accounts.kernel.ids.new, primary_key=True, serialize=False)),
                ('requests', models.PositiveIntegerField()),
                ('compute_micro_st', models.BigIntegerField()),
                ('memory_micro_st', models.BigIntegerField()),
                ('gpu_micro_seconds', models.BigIntegerField()),
                ('changed', models.CharField(blank=True, default='', max_length=20)),
                ('observed_at', models.DateTimeField()),
                ('rating', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='observations', to='providers.rating')),
            ],
        ),
        migrations.CreateModel(
            name='RatingRun',
            fields=[
                ('id', models.UUIDField(default=accounts.kernel.ids.new, primary_key=True, serialize=False)),
                ('position', models.PositiveSmallIntegerField()),
                ('prompt_tokens', models.PositiveIntegerField()),
                ('max_tokens', models.PositiveIntegerField()),
                ('concurrency', models.PositiveIntegerField()),
                ('requests', models.BigIntegerField()),
                ('uncached_tokens', models.BigIntegerField()),
                ('cached_tokens', models.BigIntegerField()),
                ('generated_tokens', models.BigIntegerField()),
                ('micro_seconds', models.BigIntegerField()),
                ('windows', models.JSONField()),
                ('rating', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='providers.rating')),
            ],
        ),
        migrations.AddIndex(
            model_name='rating',
            index=models.Index(fields=['deployment', '-measured_at', '-id'], name='providers_rating_of'),
        ),
        migrations.AddConstraint(
            model_name='rating',
            constraint=models.CheckConstraint(condition=models.Q(('blended_low_micro__gt', 0), ('blended_micro__gte', models.F('blended_low_micro')), ('compute_pico_seconds__gte', 0), ('devices__gt', 0), ('expires_at__gt', models.F('measured_at')), ('memory_pico_seconds__gte', 0), ('tensor_parallel__gt', 0)), name='providers_rating_bounds'),
        ),
        migrations.AddIndex(
            model_name='ratingobservation',
            index=models.Index(fields=['rating', '-observed_at', '-id'], name='providers_observation_of'),
        ),
        migrations.AddConstraint(
            model_name='ratingobservation',
            constraint=models.CheckConstraint(condition=models.Q(('compute_micro_st__gte', 0), ('gpu_micro_seconds__gt', 0), ('memory_micro_st__gte', 0), ('requests__gt', 0)), name='providers_observation_bounds'),
        ),
        migrations.AddConstraint(
            model_name='ratingrun',
            constraint=models.UniqueConstraint(fields=('rating', 'position'), name='providers_rating_run_once'),
        ),
        migrations.AddConstraint(
            model_name='ratingrun',
            constraint=models.CheckConstraint(condition=models.Q(('generated_tokens__gt', 0), ('micro_seconds__gt', 0), ('requests__gt', 0)), name='providers_rating_run_bounds'),
        ),
        migrations.RunSQL(TRIGGERS, REVERSE),
    ]
