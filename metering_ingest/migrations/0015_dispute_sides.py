"""A minute is contested once for each side. Disputes from before had it for both."""

from django.db import migrations, models

BOTH = """
INSERT INTO metering_dispute_minute (dispute_id, allocation_id, minute, side)
SELECT dispute_id, allocation_id, minute, 'seller' FROM metering_dispute_minute WHERE side = 'buyer'
"""


class Migration(migrations.Migration):

    dependencies = [("metering_ingest", "0014_proofs")]

    operations = [
        migrations.RemoveConstraint(model_name="disputeminute", name="dispute_minute_once"),
        migrations.AddField(
            model_name="disputeminute",
            name="side",
            field=models.CharField(choices=[("buyer", "Buyer"), ("seller", "Seller")], default="buyer", max_length=6),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            model_name="disputeminute",
            constraint=models.UniqueConstraint(fields=("allocation_id", "minute", "side"), name="dispute_minute_once"),
        ),
        migrations.RunSQL(BOTH, migrations.RunSQL.noop),
    ]
