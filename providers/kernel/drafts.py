"""What a provider types, and the rules it must keep."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit
from uuid import UUID

from providers.kernel.capacity import WHOLE_BPS
from providers.kernel.errors import BadValue, PrivateEndpoint
from providers.kernel.schedule import Calendar, Hours, Schedule, Weekly
from providers.kernel.vocabulary import DATA_TERMS, REGIONS, VENDORS

MAX_RATE = 10**9
MAX_DEVICES = 1_000_000
MAX_PRICE_MICROS = 10**12
_LAST_WEEKDAY, _LAST_HOUR, _HOURS = 6, 23, 24


@dataclass(frozen=True, slots=True)
class PoolDraft:
    """Accelerators of one kind in one place."""

    name: str
    vendor: str
    chip: str
    device_count: int
    region: str
    data_terms: str = "no-retention"


@dataclass(frozen=True, slots=True)
class DeploymentDraft:
    """A line served on a pool. `endpoint_url` is the engine's OpenAI-compatible base, without `/v1`."""

    pool_id: UUID
    line: str
    served_format: str
    endpoint_url: str
    rate_st_per_second: int
    share_bps: int = WHOLE_BPS
    engine_model: str = ""  # empty: the line's own name
    api_key: str = ""


@dataclass(frozen=True, slots=True)
class PlanDraft:
    """An offer: which windows, how far below the list price, never below which floor (micro-yuan per million ST)."""

    deployment_id: UUID
    grade: str
    schedule: Schedule
    discount_bps: int
    floor_micros: int
    share_bps: int = WHOLE_BPS


def check_pool(draft: PoolDraft) -> None:
    """Refuse a pool that does not describe itself in known words.

    :raises BadValue: with the field.
    """
    _text("name", draft.name, 80)
    _text("chip", draft.chip, 60)
    _one_of("vendor", draft.vendor, VENDORS)
    _one_of("region", draft.region, REGIONS)
    _one_of("data_terms", draft.data_terms, DATA_TERMS)
    _between("device_count", draft.device_count, 1, MAX_DEVICES)


def check_deployment(draft: DeploymentDraft, *, private_endpoint: bool) -> None:
    """Refuse a deployment out of bounds, or behind an address that the gateway must not call.

    :raises BadValue: with the field.
    :raises PrivateEndpoint: not https, or a literal address that is not public. Names are looked at again at each call.
    """
    _between("rate_st_per_second", draft.rate_st_per_second, 1, MAX_RATE)
    _between("share_bps", draft.share_bps, 1, WHOLE_BPS)
    if len(draft.engine_model) > 200 or not draft.engine_model.isprintable():
        raise BadValue("The engine's name of the model is at most 200 characters.", field="engine_model")
    if len(draft.api_key) > 400 or not draft.api_key.isascii() or not draft.api_key.isprintable():
        raise BadValue("The key is at most 400 printable ASCII characters.", field="api_key")
    _check_endpoint(draft.endpoint_url, private=private_endpoint)


def check_plan(draft: PlanDraft, *, tick_micros: int) -> None:
    """Refuse an offer that names no hours, or whose numbers are out of bounds.

    :raises BadValue: with the field; an off-tick floor comes with the next legal one below it.
    """
    _between("discount_bps", draft.discount_bps, 0, WHOLE_BPS - 1)
    _between("share_bps", draft.share_bps, 1, WHOLE_BPS)
    _between("floor_micros", draft.floor_micros, tick_micros, MAX_PRICE_MICROS)
    if draft.floor_micros % tick_micros:
        below = draft.floor_micros // tick_micros * tick_micros
        raise BadValue(
            "The floor is a multiple of the tick.", field="floor_micros", tick_micros=tick_micros, suggest_micros=below
        )
    schedule = draft.schedule
    if isinstance(schedule, Weekly):
        if not schedule.weekdays or not all(0 <= day <= _LAST_WEEKDAY for day in schedule.weekdays):
            raise BadValue("Choose at least one day of the week.", field="weekdays")
        _check_hours(Hours(schedule.from_hour, schedule.to_hour), "from_hour", "to_hour")
    elif isinstance(schedule, Calendar):
        if schedule.workday is None and schedule.restday is None:
            raise BadValue("Choose hours of working days, of days off, or both.", field="workday_hours")
        for name, hours in (("workday_hours", schedule.workday), ("restday_hours", schedule.restday)):
            if hours is not None:
                _check_hours(hours, name, name)


def _check_hours(hours: Hours, from_field: str, to_field: str) -> None:
    _between(from_field, hours.from_hour, 0, _LAST_HOUR)
    _between(to_field, hours.to_hour, 1, _HOURS)
    if hours.from_hour == hours.to_hour:
        raise BadValue("The hours begin and end at the same time; a whole day is 0 to 24.", field=to_field)


def _check_endpoint(url: str, *, private: bool) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # a bad port raises here
    except ValueError:
        raise BadValue("This is no address.", field="endpoint_url") from None
    known = parts.scheme in {"https", "http"} and host and len(url) <= 300
    if not known or parts.query or parts.fragment or parts.username is not None or not url.isascii():
        raise BadValue("An address reads https://host or https://host/path.", field="endpoint_url")
    if private:
        return
    if parts.scheme != "https":
        raise PrivateEndpoint("Prompts travel to this address, so it must be https.", field="endpoint_url")
    if host == "localhost" or not _public(host or ""):
        raise PrivateEndpoint("This address is not on the public internet.", field="endpoint_url")


def _public(host: str) -> bool:
    try:
        return ip_address(host).is_global
    except ValueError:
        return True  # a name: the gateway looks at what it resolves to, each time


def _text(field: str, value: str, longest: int) -> None:
    if not value.strip() or len(value) > longest or not value.isprintable():
        raise BadValue(f"This is 1 to {longest} characters.", field=field)


def _one_of(field: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise BadValue(f"This is one of {', '.join(known)}.", field=field)


def _between(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise BadValue(f"This lies in {least}..{most}.", field=field)
