"""Figure sets for the document tests: built by the kernel, from one fixed seed."""

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from billing.documents.figures import DocumentFigures, Header, Party, freeze
from billing.kernel import invoice
from billing.kernel.invoice import LineKey, RatedAmount
from billing.kernel.periods import PeriodKind, period_from
from billing.kernel.tokens import TokenCounts

SELLER = Party(
    name="沪上词元现货（上海）科技有限公司",
    tax_number="91310000MA1K3XYZ0Q",
    address="上海市浦东新区张江路 88 号 3 幢 501 室",
    phone="021-5080 1234",
    bank="招商银行上海张江支行",
    bank_account="1219 0876 5432 109",
)
BUYER = Party(
    name="北京镕堃喆翀玥智能有限公司",
    tax_number="91110108MA01ABCD7E",
    address="北京市海淀区中关村东路 1 号",
    bank="中国工商银行北京中关村支行",
    bank_account="0200 0045 0902 3456 789",
)
HEADER = Header(
    number="INV-2026-000123",
    period=period_from(PeriodKind.MONTH, date(2026, 11, 1)),
    issued_at=datetime(2026, 12, 4, 1, 30, tzinfo=UTC),
    due_date=None,
    seller=SELLER,
    buyer=BUYER,
    settled_micros=0,
    due_fen=0,
    link="https://tokenspot.example/verify/INV-2026-000123",
    notes=("合同编号 TS-2026-017，采购单 PO-88231。",),
)


def rated(lines: int) -> list[RatedAmount]:
    """Two amounts at two prices for each of so many lines."""
    chance = random.Random(42)
    grades = ["batch", "interactive", "realtime"]
    products = [(line, grade) for grade in grades for line in ("deepseek-v3.1", "llama-3-8b")]
    rows = []
    for i in range(lines):
        model_line, grade = products[i % len(products)]
        day = date(2026, 11, 1) + timedelta(days=i // len(products))
        key = LineKey(model_line, grade, day, 100 if model_line == "llama-3-8b" else 600)
        for part in range(2):
            micro_st = chance.randrange(10**9, 10**14)
            counts = TokenCounts(chance.randrange(10**8), chance.randrange(10**8), chance.randrange(10**7))
            provider = "云岭算力" if i % 4 else f"云岭算力 {part}"
            rows.append(
                RatedAmount(
                    2 * i + part, key, provider, micro_st, micro_st * chance.randrange(25, 500_000) * 10**4, counts
                )
            )
    return rows


def document(lines: int = 6, **changes: object) -> DocumentFigures:
    figures = invoice.figures(rated(lines))
    assert figures is not None
    header = replace(HEADER, **{"settled_micros": figures.exact // 10**12, **changes})
    return freeze(header, figures)
