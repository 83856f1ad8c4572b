"""What buyers draw of their allocations: reserved before a request runs, settled when it is counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F

from market import locks, selectors
from market.kernel.draws import Share, spread, used_by_part
from market.kernel.errors import NoAllocation, NotFound, TooFast
from market.kernel.money import MILLION
from market.models import AllocationUse, Reservation, ReservationPart
from market.selectors import AllocationView
from market.services import pacing

# A request that is not counted by then has died with its process.
RESERVATION_LIFE = timedelta(minutes=15)


@dataclass(frozen=True)
class Part:
    """So many micro-ST of one allocation, delivered by this deployment."""

    allocation_id: UUID
    deployment_id: UUID
    micro_st: int


@dataclass(frozen=True)
class Reserved:
    """A reservation and its parts, in the order in which they are used up, with what was promised of them."""

    id: UUID
    parts: tuple[Part, ...]
    grade: str
    window_end: datetime


@dataclass(frozen=True)
class DrawItem:
    """One request that drew on a product."""

    organisation_id: UUID
    product_id: UUID
    request_id: str
    micro_st: int


def reserve(
    *,
    organisation_id: UUID,
    line: str,
    request_id: str,
    micro_st: int,
    now: datetime,
    avoid: Collection[UUID] = (),
) -> Reserved:
    """Set the worst case of a request aside, oldest round first, all of it on one deployment.

    Deployments to `avoid` (they just failed) are not taken. The same request id gives the first reservation again.

    :raises NoAllocation: no deployment's allocations of this line and window have that much left.
    :raises TooFast: some have, but the draw rate of what was bought does not let it run yet.
    """
    with transaction.atomic():
        locks.organisations([organisation_id])
        earlier = _earlier(organisation_id, request_id)
        if earlier is not None:
            return earlier
        bought = selectors.drawable(organisation_id, line, now=now)
        found = [view for view in bought if view.deployment_id not in avoid]
        parts = _one_deployment(found, _left(found), micro_st, now)
        reservation = Reservation.objects.create(
            request_id=request_id, organisation_id=organisation_id, expires_at=now + RESERVATION_LIFE, created_at=now
        )
        ReservationPart.objects.bulk_create(
            ReservationPart(
                reservation=reservation,
                allocation_id=part.allocation_id,
                position=position,
                micro_st=part.micro_st,
                at=now,
                counted_micro_st=part.micro_st,
                running=True,
            )
            for position, part in enumerate(parts)
        )
        _change((part.allocation_id, part.micro_st, 0) for part in parts)
    first = next(view for view in found if view.id == parts[0].allocation_id)
    return Reserved(reservation.id, tuple(parts), first.grade, first.window_end)


def settle(reservation_id: UUID, *, used_micro_st: int, now: datetime, kept: bool | None = None) -> tuple[Part, ...]:
    """Draw what a request used (at most what was reserved), and give the rest back; gives the parts used.

    `kept`: whether it was served within its grade, None where that is not to be
    judged. Settled once: a repeat gives the first answer.

    :raises NotFound: there is no such reservation.
    """
    with transaction.atomic():
        reservation, parts = _locked(reservation_id)
        if reservation.state == Reservation.State.OPEN:
            assert 0 <= used_micro_st <= sum(part.micro_st for part in parts), "drawn within the reservation"
            for part, used in zip(parts, used_by_part([p.micro_st for p in parts], used_micro_st), strict=True):
                part.used_micro_st = used
            ReservationPart.objects.bulk_update(parts, ["used_micro_st"])
            _resolve(reservation, parts, Reservation.State.SETTLED)
            if kept is not None:
                AllocationUse.objects.filter(allocation_id__in=[part.allocation_id for part in parts]).update(
                    judged=F("judged") + 1, kept=F("kept") + int(kept)
                )
    return tuple(
        Part(part.allocation_id, part.allocation.deployment_id, part.used_micro_st)
        for part in parts
        if part.used_micro_st
    )


def release(reservation_id: UUID, *, now: datetime) -> None:
    """Give a reservation back unused; nothing happens where it is resolved already.

    :raises NotFound: there is no such reservation.
    """
    with transaction.atomic():
        reservation, parts = _locked(reservation_id)
        if reservation.state == Reservation.State.OPEN:
            _resolve(reservation, parts, Reservation.State.RELEASED)


def release_expired(*, now: datetime, limit: int = 500) -> int:
    """Give reservations back whose request never came to its end; gives how many."""
    due = Reservation.objects.filter(state=Reservation.State.OPEN, expires_at__lte=now).order_by("expires_at", "id")
    done = 0
    for reservation_id in due.values_list("id", flat=True)[:limit]:
        with transaction.atomic():
            reservation, parts = _locked(reservation_id)
            if reservation.state == Reservation.State.OPEN:
                _resolve(reservation, parts, Reservation.State.EXPIRED)
                done += 1
    return done


def draw_many(items: Sequence[DrawItem], *, now: datetime) -> list[list[Part]]:
    """Draw for many requests that are counted already, oldest round first; all of them or none.

    :raises NoAllocation: what was bought of a product does not cover its requests.
    """
    with transaction.atomic():
        locks.organisations({item.organisation_id for item in items})
        bought: dict[tuple[UUID, UUID], list[AllocationView]] = {}
        for item in items:
            key = (item.organisation_id, item.product_id)
            if key not in bought:
                bought[key] = selectors.product_fills(*key)
        left = _left([view for views in bought.values() for view in views])
        deployments = {view.id: view.deployment_id for views in bought.values() for view in views}
        drawn: dict[UUID, int] = defaultdict(int)
        answers: list[list[Part]] = []
        for item in items:
            shares = spread(
                [Share(v.id, left[v.id]) for v in bought[item.organisation_id, item.product_id]], item.micro_st
            )
            if shares is None:
                raise NoAllocation(f"Request {item.request_id[:100]} goes beyond what was bought.")
            for share in shares:
                left[share.id] -= share.micro_st
                drawn[share.id] += share.micro_st
            answers.append([Part(share.id, deployments[share.id], share.micro_st) for share in shares])
        _change((allocation_id, 0, micro_st) for allocation_id, micro_st in drawn.items())
    return answers


def _earlier(organisation_id: UUID, request_id: str) -> Reserved | None:
    reservation = Reservation.objects.filter(request_id=request_id, organisation_id=organisation_id).first()
    if reservation is None:
        return None
    rows = list(reservation.parts.select_related("allocation__product").order_by("position"))
    parts = tuple(Part(p.allocation_id, p.allocation.deployment_id, p.micro_st) for p in rows)
    product = rows[0].allocation.product
    return Reserved(reservation.id, parts, product.grade, product.window_end)


def use_rows(views: Sequence[AllocationView]) -> dict[UUID, AllocationUse]:
    """The use of each allocation, made where missing and locked."""
    AllocationUse.objects.bulk_create(
        [AllocationUse(allocation_id=view.id, bought_micro_st=view.quantity_st * MILLION) for view in views],
        ignore_conflicts=True,
    )
    return locks.uses([view.id for view in views])


def _left(views: Sequence[AllocationView]) -> dict[UUID, int]:
    """Micro-ST left of each allocation, with its row made and locked."""
    return {key: use.left_micro_st for key, use in use_rows(views).items()}


def _one_deployment(views: Sequence[AllocationView], left: dict[UUID, int], micro_st: int, now: datetime) -> list[Part]:
    """The parts on the first deployment, by oldest allocation, that covers all of it at its pace."""
    together: dict[tuple[UUID, UUID], list[AllocationView]] = defaultdict(list)
    for view in views:
        together[view.product_id, view.deployment_id].append(view)
    waits = []
    for (_, deployment_id), group in together.items():
        taken = spread([Share(view.id, left[view.id]) for view in group], micro_st)
        if taken is None:
            continue
        wait = pacing.wait(group, micro_st, now=now)
        if wait is None:
            return [Part(share.id, deployment_id, share.micro_st) for share in taken]
        waits.append(wait)
    if waits:
        raise TooFast("This is faster than what you bought may be drawn; wait a little.", retry_after=min(waits))
    raise NoAllocation("Nothing that you bought for this line and hour covers the request.")


def _locked(reservation_id: UUID) -> tuple[Reservation, list[ReservationPart]]:
    reservation = locks.reservation(reservation_id)
    if reservation is None:
        raise NotFound("There is no such reservation.")
    return reservation, list(reservation.parts.select_related("allocation").order_by("position"))


def _resolve(reservation: Reservation, parts: Sequence[ReservationPart], state: Reservation.State) -> None:
    reservation.state = state
    reservation.save(update_fields=["state"])
    reservation.parts.update(counted_micro_st=F("used_micro_st"), running=False)
    locks.uses([part.allocation_id for part in parts])
    _change((part.allocation_id, -part.micro_st, part.used_micro_st) for part in parts)


def _change(changes: Iterable[tuple[UUID, int, int]]) -> None:
    """Add (reserved, drawn) to the use of allocations whose rows are locked."""
    by_id = {allocation_id: (reserved, drawn) for allocation_id, reserved, drawn in changes}
    rows = list(AllocationUse.objects.filter(allocation_id__in=list(by_id)))
    for row in rows:
        reserved, drawn = by_id[row.allocation_id]
        row.reserved_micro_st += reserved
        row.drawn_micro_st += drawn
    AllocationUse.objects.bulk_update(rows, ["reserved_micro_st", "drawn_micro_st"], batch_size=1_000)
