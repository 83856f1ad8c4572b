from ledger.kernel.kinds import NORMAL_SIDES, STORED


class TestKinds:
    def test_name_every_account_of_the_posting_table(self) -> None:
        assert set(NORMAL_SIDES) == {
            "cash_clearing", "wallet", "receivable", "unbilled", "payable_held", "payable_available", "collateral",
            "fee_revenue", "tax_payable", "promo", "rounding", "suspense", "penalty", "bundle_margin",
        }  # fmt: skip

    def test_store_totals_only_where_there_is_a_floor(self) -> None:
        assert set(STORED) == {"wallet", "receivable", "payable_held", "payable_available", "collateral"}

    def test_grow_by_debits_where_money_is_ours_or_owed_to_us(self) -> None:
        assert {kind for kind, side in NORMAL_SIDES.items() if side == "debit"} == {
            "cash_clearing", "receivable", "promo",
        }  # fmt: skip
