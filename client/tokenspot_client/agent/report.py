"""The state in words, what needs a person first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_OLD = 300


def words(told: Mapping[str, Any], *, now: float) -> str:
    """What `tokenspot agent status` prints. ``now`` in seconds since 1970."""
    live = told["live"] or {}
    platform = live.get("platform") or {}
    lines = [*(f"!  {warning}" for warning in warnings(told, now=now))]
    lines += _block(
        ("agent", f"{told['agent'] or 'not registered'}  key {told['keyid'] or '-'}  {told['url'] or ''}"),
        ("process", _process(told, live)),
        ("epoch", f"{told['epoch'] or '-'}{'  closed' if told['epoch_closed'] else ''}"),
        ("confirmed", _sums(told["confirmed"])),
        ("waiting", _sums(live.get("backlog")) + f"; {told['spool_bytes']:,} bytes"),
        ("last sent", _ago(platform.get("last_success"), now)),
        ("results", _counts(platform.get("results"))),
    )
    if not live:
        return "\n".join(lines)
    tokens = live["tokens"]
    lines += ["", "since the agent started" if told["running"] else "in the last run"]
    lines += _block(
        ("market", f"{live['records']:,} requests, {_tokens(tokens['market'])}"),
        ("own", f"{live['own_requests']:,} requests, {_tokens(tokens['own'])}"),
        ("outcomes", _counts(live["requests"])),
        ("no usage", _counts(live["unmetered"])),
        ("bad lines", _counts(live["bad_lines"])),
        *((f"log {name}", f"{told['behind_bytes']:,} bytes to read") for name, told in live["logs"].items()),
    )
    if check := live.get("engine_check"):
        lines += ["", f"engine's counters: {check['looks']} looks, {_counts(check['verdicts'])}"]
        lines += [f"  {finding}" for finding in check["findings"]]
    return "\n".join(lines)


def warnings(told: Mapping[str, Any], *, now: float) -> list[str]:
    """What needs a person."""
    live = told["live"] or {}
    platform = live.get("platform") or {}
    found = []
    if not told["registered"]:
        found.append("not registered: tokenspot agent register --url ... --token tsreg_...")
    if told["registered"] and not told["running"]:
        found.append("no agent is running on this folder")
    for reason, counts in told["losses"].items():
        found.append(f"lost ({reason}): {_sums(counts)}")
    if told["in_memory_only"]:
        found.append(f"the disk is full: {told['in_memory_only']} records are in memory only")
    if live.get("disk_problem"):
        found.append(f"disk: {live['disk_problem']}")
    failed = platform.get("last_problem_at") or 0
    if failed > (platform.get("last_success") or 0):
        found.append(f"the platform ({_ago(failed, now)}): {platform['last_problem']}")
    if abs(platform.get("clock_offset", 0)) > 1:
        found.append(f"this machine's clock is {-platform['clock_offset']:.0f} s off the platform's")
    if platform.get("gaps"):
        found.append(f"the platform lacks numbers that it confirmed: {platform['gaps'][:5]}")
    if told["kept_aside"]:
        found.append(f"not taken as they were, see aside.jsonl: {_counts(told['kept_aside'])}")
    for breach in (live.get("engine_check") or {}).get("breaches", [])[-3:]:
        found.append(
            f"the engine counts otherwise ({_ago(breach['at'], now)}): {breach['identity']}, {breach['difference']:+}"
        )
    if told["running"] and now - live.get("written_at", now) > _OLD:
        found.append("the running agent has said nothing for minutes")
    return found


def _process(told: Mapping[str, Any], live: Mapping[str, Any]) -> str:
    if not told["running"]:
        return "not running"
    started = datetime.fromtimestamp(live["started_at"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if live else "just now"
    return f"running, pid {live.get('pid', '?')}, since {started}, version {live.get('version', '?')}"


def _block(*pairs: tuple[str, str]) -> list[str]:
    return [f"  {name:<10} {value}" for name, value in pairs]


def _sums(counts: Mapping[str, int] | None) -> str:
    return f"{counts['records']:,} records, {_tokens(counts)}" if counts else "-"


def _tokens(counts: Mapping[str, int]) -> str:
    return f"{counts['prompt']:,} prompt and {counts['completion']:,} generated tokens"


def _counts(counts: Mapping[str, int] | None) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())) if counts else "-"


def _ago(at: float | None, now: float) -> str:
    if not at:
        return "never"
    return f"{max(0, now - at):,.0f} s ago"
