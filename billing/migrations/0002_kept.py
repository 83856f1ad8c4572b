"""Rated lines are replaced by new ones beside them, never deleted: an invoice's digest is made of them."""

from django.db import migrations

KEPT = """
CREATE TRIGGER billing_ratedline_kept BEFORE DELETE OR TRUNCATE ON billing_ratedline
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
"""


class Migration(migrations.Migration):

    dependencies = [("billing", "0001_initial")]

    operations = [migrations.RunSQL(KEPT, migrations.RunSQL.noop)]
