"""Rounds in three steps: frozen in one transaction, cleared outside any, written in another."""

import django.db.models.deletion
from django.db import migrations, models

# As in the first migration, and beside it: a frozen round may be frozen anew under a higher fence, with another root.
GUARD = """
CREATE OR REPLACE FUNCTION market_guard_round() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    anew boolean := OLD.state = 'frozen' AND NEW.state = 'frozen' AND NEW.fence > OLD.fence;
BEGIN
    IF NOT (anew OR OLD.state = 'open' AND NEW.state = 'frozen' OR OLD.state = 'frozen' AND NEW.state = 'cleared') THEN
        RAISE EXCEPTION 'round % goes from % to %', OLD.number, OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_round_steps';
    END IF;
    IF (NEW.id, NEW.market_id, NEW.number, NEW.seed_commitment, NEW.opened_at)
        IS DISTINCT FROM (OLD.id, OLD.market_id, OLD.number, OLD.seed_commitment, OLD.opened_at)
        OR OLD.root IS NOT NULL AND NOT anew
            AND (NEW.root, NEW.closed_at, NEW.fence) IS DISTINCT FROM (OLD.root, OLD.closed_at, OLD.fence) THEN
        RAISE EXCEPTION 'what round % has said stands', OLD.number
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_round_fixed';
    END IF;
    IF NEW.seed IS NOT NULL AND sha256(NEW.seed) <> NEW.seed_commitment THEN
        RAISE EXCEPTION 'the seed of round % is not the one committed to', OLD.number
            USING ERRCODE = 'check_violation', CONSTRAINT = 'market_round_commitment';
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('market', '0006_faults'),
    ]

    operations = [
        migrations.CreateModel(
            name='ComponentTask',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('fence', models.PositiveIntegerField()),
                ('subject', models.BinaryField(max_length=32)),
                ('orders', models.PositiveIntegerField()),
                ('component', models.BinaryField()),
                ('outcome', models.BinaryField(null=True)),
                ('failure', models.CharField(blank=True, default='', max_length=500)),
                ('tries', models.PositiveSmallIntegerField(default=0)),
                ('taken_until', models.DateTimeField(null=True)),
            ],
        ),
        migrations.AddField(
            model_name='book',
            name='ending',
            field=models.CharField(max_length=10, null=True),
        ),
        migrations.AddField(
            model_name='market',
            name='frozen_round',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='market',
            name='next_seed',
            field=models.BinaryField(max_length=32, null=True),
        ),
        migrations.AddField(
            model_name='round',
            name='fence',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='round',
            name='lease_until',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name='book',
            index=models.Index(condition=models.Q(('ending__isnull', False)), fields=['market_id'], name='market_book_to_end'),
        ),
        migrations.AddConstraint(
            model_name='book',
            constraint=models.CheckConstraint(condition=models.Q(('ending__isnull', True), ('ending__in', ['cancelled', 'expired']), _connector='OR'), name='market_book_ending'),
        ),
        migrations.AddConstraint(
            model_name='market',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('frozen_round__isnull', True), ('next_seed__isnull', True)), models.Q(('frozen_round', models.F('round_number')), ('next_seed__isnull', False)), _connector='OR'), name='market_frozen_round_is_next'),
        ),
        migrations.AddField(
            model_name='componenttask',
            name='round',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='market.round'),
        ),
        migrations.AddConstraint(
            model_name='componenttask',
            constraint=models.UniqueConstraint(fields=('round', 'fence', 'subject'), name='market_component_once'),
        ),
        migrations.RunSQL(GUARD, migrations.RunSQL.noop),
    ]
