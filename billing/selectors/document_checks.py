"""The rules of documents that can be read back from a live database: credit notes, files, exports."""

RULES = {
    "credit notes <= their invoice line, by the cumulative rule": """
        SELECT 'invoice line ' || l.id, 'given back ' || sum(c.amount_fen) || ' of ' || l.amount_fen
            || ', net ' || sum(c.net_fen) || ' of ' || l.net_fen
        FROM billing_creditnoteline c JOIN billing_invoiceline l ON l.id = c.line_id
        GROUP BY l.id
        HAVING sum(c.amount_fen) > l.amount_fen
            OR sum(c.net_fen) <> floor((2 * l.net_fen::numeric * sum(c.amount_fen) + l.amount_fen) / (2 * l.amount_fen))
        LIMIT 100""",
    "credit note = sum of its lines": """
        SELECT 'credit note ' || n.id, 'total ' || n.total_fen || ', lines ' || coalesce(sum(c.amount_fen), 0)
        FROM billing_creditnote n LEFT JOIN billing_creditnoteline c ON c.note_id = n.id
        LEFT JOIN billing_invoiceline l ON l.id = c.line_id
        GROUP BY n.id
        HAVING n.net_fen <> coalesce(sum(c.net_fen), 0) OR n.tax_fen <> coalesce(sum(c.tax_fen), 0)
            OR bool_or(l.invoice_id <> n.invoice_id) OR (n.figures ->> 'total_fen')::bigint <> n.total_fen LIMIT 100""",
    "credit note numbers contiguous": """
        SELECT 'series ' || n.series, 'numbers ' || min(n.number) || ' to ' || max(n.number)
               || ', ' || count(*) || ' notes'
        FROM billing_creditnote n JOIN billing_numberseries s ON s.series = n.series
        GROUP BY n.series, s.last
        HAVING min(n.number) <> 1 OR max(n.number) <> count(*) OR s.last <> count(*)""",
    "a credit note gave back what the ledger says": """
        WITH moved AS (
            SELECT split_part(t.key, ':', 2) AS note,
                   sum(e.amount_micros) FILTER (WHERE a.kind = 'wallet' AND e.direction = 'credit') AS wallet,
                   sum(e.amount_micros) FILTER (WHERE a.kind = 'receivable' AND e.direction = 'credit') AS receivable,
                   sum(e.amount_micros) FILTER (WHERE a.kind = 'tax_payable' AND e.direction = 'debit') AS tax
            FROM ledger_transfer t JOIN ledger_entry e ON e.transfer_id = t.id
            JOIN ledger_account a ON a.id = e.account_id WHERE t.kind = 'credit_note' GROUP BY 1
        )
        SELECT coalesce('credit note ' || n.id, 'transfer of ' || m.note),
               'wallet ' || coalesce(n.wallet_micros, 0) || ', receivable ' || coalesce(n.receivable_micros, 0)
               || '; in the ledger ' || coalesce(m.wallet, 0) || ', ' || coalesce(m.receivable, 0)
        FROM billing_creditnote n FULL JOIN moved m ON m.note = n.id::text
        WHERE n.id IS NULL OR n.wallet_micros <> coalesce(m.wallet, 0)
            OR n.receivable_micros <> coalesce(m.receivable, 0) OR n.tax_fen * 10000 <> coalesce(m.tax, 0) LIMIT 100""",
    "a credit note has two persons": """
        SELECT 'credit note ' || n.id, 'proposed by ' || p.proposed_by || ', decided by ' || coalesce(p.decided_by::text, '-')
        FROM billing_creditnote n JOIN billing_creditproposal p ON p.id = n.proposal_id
        WHERE p.state <> 'confirmed' OR p.invoice_id <> n.invoice_id OR p.decided_by = p.proposed_by LIMIT 100""",
    "a stored file has its SHA-256": """
        SELECT f.what || ' ' || f.id, 'stored as ' || f.sha256 FROM (
            SELECT 'invoice file' AS what, id::text, sha256, content FROM billing_invoicefile
            UNION ALL SELECT 'credit note file', id::text, sha256, content FROM billing_creditnotefile
            UNION ALL SELECT 'export', id::text, sha256, content FROM billing_export WHERE content IS NOT NULL
        ) f WHERE f.sha256 <> encode(sha256(f.content), 'hex') LIMIT 100""",
}
