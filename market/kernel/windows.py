"""Delivery windows: clock hours of the market clock (UTC+08:00), which are clock hours of UTC too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

WINDOW = timedelta(hours=1)
WINDOWS_AHEAD = 48

Window = tuple[datetime, datetime]


def current(now: datetime) -> Window:
    """The window `[start, end)` that `now` lies in, in UTC."""
    start = _full_hour(now)
    return start, start + WINDOW


def open_windows(now: datetime) -> list[Window]:
    """The windows that may be traded: the current one until its end, and the next 48, earliest first."""
    start, _ = current(now)
    return [(start + n * WINDOW, start + (n + 1) * WINDOW) for n in range(WINDOWS_AHEAD + 1)]


def is_window_start(at: datetime) -> bool:
    """Whether a window starts at this instant."""
    return at == _full_hour(at)


def is_closed(start: datetime, now: datetime) -> bool:
    """Whether the window that starts at `start` is over."""
    return start <= now - WINDOW  # not `start + WINDOW`: the calendar's last hour has no end


def is_open(start: datetime, now: datetime) -> bool:
    """Whether the window that starts at `start` may be traded now."""
    return not is_closed(start, now) and start <= current(now)[0] + WINDOWS_AHEAD * WINDOW


def seconds_left(start: datetime, now: datetime) -> int:
    """Whole seconds of the window that can still be delivered in; all of it before it opens, 0 after its end."""
    left = start + WINDOW - max(start, now)
    return max(0, int(left / timedelta(seconds=1)))


def _full_hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
