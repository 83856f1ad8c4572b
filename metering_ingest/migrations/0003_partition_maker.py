"""Partitions are made by a function of the tables' owner, so that the site's own role needs no right to make tables."""

from django.db import migrations

MAKER = """
CREATE FUNCTION metering_make_partition(day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE part text := 'metering_usage_record_' || to_char(day, 'YYYYMMDD');
BEGIN
    -- Two makers at once would both see it missing: the second waits here, then sees it.
    PERFORM pg_advisory_xact_lock(hashtext('metering partitions'));
    IF EXISTS (SELECT 1 FROM pg_class WHERE relname = part AND relnamespace = 'public'::regnamespace) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF metering_usage_record FOR VALUES FROM (%L) TO (%L)',
                   part, day, day + 1);
    -- The parent's own guard does not see a TRUNCATE that names the partition.
    EXECUTE format('CREATE TRIGGER kept BEFORE TRUNCATE ON %I '
                   'FOR EACH STATEMENT EXECUTE FUNCTION metering_refuse_change()', part);
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION metering_make_partition(date) FROM PUBLIC;
"""


class Migration(migrations.Migration):

    dependencies = [("metering_ingest", "0002_kept")]

    operations = [migrations.RunSQL(MAKER, "DROP FUNCTION metering_make_partition(date)")]
