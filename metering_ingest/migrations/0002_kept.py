"""Quarantine is append-only too, and no partition can be emptied past its parent.

A statement trigger of a partitioned table does not fire when a partition is
named directly, so each partition has its own; `services.partitions` gives one
to those that come later.
"""

from django.db import migrations

KEPT = """
CREATE TRIGGER metering_quarantine_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON metering_quarantine
    FOR EACH STATEMENT EXECUTE FUNCTION metering_refuse_change();
DO $$
DECLARE part regclass;
BEGIN
    FOR part IN SELECT inhrelid::regclass FROM pg_inherits
        WHERE inhparent IN ('metering_usage_key'::regclass, 'metering_usage_record'::regclass)
    LOOP
        EXECUTE format('CREATE TRIGGER kept BEFORE TRUNCATE ON %s '
                       'FOR EACH STATEMENT EXECUTE FUNCTION metering_refuse_change()', part);
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):

    dependencies = [("metering_ingest", "0001_initial")]

    operations = [migrations.RunSQL(KEPT, migrations.RunSQL.noop)]
