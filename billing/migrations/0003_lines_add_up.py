"""An issued invoice takes no further line: after every insert its lines must still add up to it."""

from django.db import migrations

ADD_UP = """
CREATE FUNCTION billing_lines_add_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong uuid;
BEGIN
    SELECT i.id INTO wrong
    FROM billing_invoice i JOIN billing_invoiceline l ON l.invoice_id = i.id
    WHERE i.id IN (SELECT invoice_id FROM new_rows)
    GROUP BY i.id
    HAVING sum(l.net_fen) <> i.net_fen OR sum(l.tax_fen) <> i.tax_fen OR sum(l.exact) <> i.exact LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the lines of invoice % do not add up to it', wrong
            USING ERRCODE = 'check_violation', CONSTRAINT = 'billing_lines_add_up';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER billing_lines_add_up AFTER INSERT ON billing_invoiceline REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_lines_add_up();
"""


class Migration(migrations.Migration):

    dependencies = [("billing", "0002_kept")]

    operations = [migrations.RunSQL(ADD_UP, migrations.RunSQL.noop)]
