"""Names for people of the words that pools and offers are described with."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from providers.kernel.days import Day, Kind
from providers.kernel.schedule import Calendar, Hours, Once, Schedule

Label = str | Promise

VENDORS: dict[str, Label] = {
    "nvidia": "NVIDIA",
    "huawei": _("Huawei Ascend"),
    "amd": "AMD",
    "cambricon": _("Cambricon"),
    "hygon": _("Hygon"),
    "kunlunxin": _("Kunlunxin"),
    "metax": _("MetaX"),
    "moore-threads": _("Moore Threads"),
    "iluvatar": _("Iluvatar CoreX"),
    "enflame": _("Enflame"),
    "biren": _("Biren"),
    "intel": "Intel",
    "other": _("Another vendor"),
}
REGIONS: dict[str, Label] = {
    "cn-north": _("North China"),
    "cn-east": _("East China"),
    "cn-south": _("South China"),
    "cn-central": _("Central China"),
    "cn-southwest": _("Southwest China"),
    "cn-northwest": _("Northwest China"),
    "cn-northeast": _("Northeast China"),
}
DATA_TERMS: dict[str, Label] = {
    "no-retention": _("Nothing kept, no training, mainland"),
    "retention-30d": _("Kept up to 30 days against abuse, no training, mainland"),
    "unknown": _("Not declared, which counts as the worst"),
}
GRADES: dict[str, Label] = {
    "realtime": _("Realtime: first token within 0.5 s, 40 tokens/s a stream"),
    "interactive": _("Interactive: first token within 2 s, 15 tokens/s a stream"),
    "batch": _("Batch: done inside the window"),
}
GRADE_NAMES: dict[str, Label] = {"realtime": _("Realtime"), "interactive": _("Interactive"), "batch": _("Batch")}
WEEKDAYS: tuple[Label, ...] = (
    _("Monday"),
    _("Tuesday"),
    _("Wednesday"),
    _("Thursday"),
    _("Friday"),
    _("Saturday"),
    _("Sunday"),
)
_SHORT: tuple[Label, ...] = (_("Mon"), _("Tue"), _("Wed"), _("Thu"), _("Fri"), _("Sat"), _("Sun"))
PROBLEMS: dict[str, Label] = {
    "no_capacity": _("Other offers already take what this deployment can do in these hours. Withdraw one of them."),
    "market_halted": _("The market is halted. The offer is posted when it goes on."),
    "self_trade": _(
        "An open bid of your own organisation would trade with this offer. Cancel the bid, or raise the floor."
    ),
    "unknown_line": _("This model line is not traded any more."),
}
OTHER_PROBLEM = _("The market refused the last window of this offer. It is tried again every 30 seconds.")
_DAYS: dict[Kind, Label] = {
    Kind.WORKDAY: _("Working day"),
    Kind.MAKEUP: _("Make-up working day"),
    Kind.WEEKEND: _("Weekend"),
    Kind.HOLIDAY: _("Public holiday"),
}
_WHOLE_WEEK = 7


def hours(schedule: Schedule) -> dict[str, object]:
    """What the list says about when: days as short names, hours as "01:00–06:00"."""
    if isinstance(schedule, Once):
        return {"start": schedule.window_start}
    if isinstance(schedule, Calendar):
        return {"workday": _hours(schedule.workday), "restday": _hours(schedule.restday), "calendar": True}
    every_day = len(schedule.weekdays) == _WHOLE_WEEK
    return {
        "days": [] if every_day else [_SHORT[day] for day in sorted(schedule.weekdays)],
        "every_day": every_day,
        "text": _hours(Hours(schedule.from_hour, schedule.to_hour)),
    }


def _hours(hours: Hours | None) -> str:
    return f"{hours.from_hour:02d}:00–{hours.to_hour:02d}:00" if hours else ""


def day(one: Day) -> Label:
    """What the preview calls the day of a window."""
    return _DAYS[one.kind]


def problem(code: str) -> Label:
    """One sentence on why a window could not be posted, and what to do."""
    return PROBLEMS.get(code, OTHER_PROBLEM) if code else ""


RATED_HOW: dict[str, Label] = {"agent": _("By the agent"), "operator": _("By the operator")}
SETUP: dict[str, Label] = {
    "card_digest": _("the line's card"),
    "engine": _("the engine"),
    "engine_version": _("the engine's version"),
    "driver": _("the driver"),
    "served_format": _("the served format"),
    "tensor_parallel": _("the devices that share a model"),
}
RATING_CHIPS: dict[str, tuple[Label, str]] = {
    "unrated": (_("Not rated"), "warn"),
    "rated": (_("Valid"), "good"),
    "expiring": (_("Expires soon"), "warn"),
    "expired": (_("Expired"), "bad"),
    "drifting": (_("Drifting"), "bad"),
    "changed": (_("Setup changed"), "bad"),
    "superseded": (_("Superseded"), "idle"),
}
RATING_STATES: dict[str, Label] = {
    "unrated": _("Nobody has measured this deployment. Run the command beside its engine."),
    "expiring": _("Less than 7 days are left. Rate it again in time."),
    "expired": _("The rating is too old. Rate it again."),
}
