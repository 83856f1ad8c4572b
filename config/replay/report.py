"""What a replay prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from accounts.kernel.decimals import plain
from config.replay.run import Outcome


def print_report(outcome: Outcome, *, trace: Path, write: Callable[[str], object]) -> None:
    """Totals as plain integers and exact decimals, then where the files are and where the time went."""
    low, high = min(outcome.prices), max(outcome.prices)
    for label, value in (
        ("trace", trace.name),
        ("requests", str(outcome.requests)),
        ("prompt tokens", str(outcome.prompt)),
        ("generated tokens", str(outcome.generated)),
        ("rounds", str(outcome.rounds)),
        ("fills", str(outcome.fills)),
        ("clearing prices", f"{plain(low, 6, at_least=6)} to {plain(high, 6, at_least=6)} CNY per million ST"),
        ("ST sold", plain(outcome.sold_micro_st, 6, at_least=6)),
        ("ST delivered", plain(outcome.delivered_micro_st, 6, at_least=6)),
        ("ST invoiced", f"{plain(outcome.invoiced_micro_st, 6, at_least=6)}  (sum of records, as invoiced)"),
        (
            "ST not drawn",
            f"{plain(outcome.undrawn_micro_st, 6, at_least=6)}  (bought up to whole lots, invoiced apart: "
            f"CNY {plain(outcome.undrawn_exact, 18, at_least=2)})",
        ),
    ):
        write(f"{label:<18} {value}")
    write("")
    write(f"{'buyer':<18} {'invoice':<12} {'ST':>20} {'total CNY':>12} {'from wallet':>18}")
    for name, number, micro_st, total_fen, settled in outcome.buyers:
        shown = f"{plain(micro_st, 6, at_least=6):>20} {plain(total_fen, 2, at_least=2):>12} {plain(settled, 6, at_least=6):>18}"
        write(f"{name:<18} {number:<12} {shown}")
    write("")
    write(f"{'provider':<18} {'gross CNY':>16} {'fee':>14} {'tax':>14} {'payable':>16}")
    for name, *earned in outcome.providers:
        gross, fee, tax, payable = (plain(amount, 6, at_least=6) for amount in earned)
        write(f"{name:<18} {gross:>16} {fee:>14} {tax:>14} {payable:>16}")
    write("")
    for path in outcome.files:
        write(f"file               {path}")
    write("")
    for name, seconds in outcome.stages:
        write(f"{name:<24} {seconds:7.2f} s")
    write("")
