"""Words of comparisons and disputes for people."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from metering_ingest.kernel import comparing, work
from metering_ingest.kernel import dispute_rules as rules

STATES: dict[str, tuple[str | Promise, str]] = {
    comparing.MATCHED: (_("Counts agree"), "good"),
    comparing.WAITING: (_("Waiting for late records"), "live"),
    comparing.SINGLE: (_("One witness only"), "idle"),
    comparing.SOFT: (_("Soft difference"), "warn"),
    comparing.HARD: (_("Hard difference"), "bad"),
}
CAUSES: dict[str, str | Promise] = {
    comparing.MISSING_AT_AGENT: _("the provider's agent lacks a request"),
    comparing.MISSING_AT_GATEWAY: _("the gateway lacks a request"),
    comparing.PROMPT: _("prompt tokens differ"),
    comparing.CACHED: _("cached tokens differ"),
    comparing.COMPLETION: _("completion tokens differ"),
    comparing.ST: _("stored standard tokens do not follow from the counts"),
    comparing.OVERRUN: _("generated beyond the request's limit; not billed"),
    comparing.WORSE_FORMAT: _("served in a coarser format than sold"),
    comparing.AGGREGATE: _("the agent reported sums"),
    rules.WORK: _("more was billed than the devices worked for"),
}
WORK_STATES: dict[str, tuple[str | Promise, str]] = {
    work.WITHIN: (_("Within the band"), "good"),
    work.SOFT: (_("Off beyond the first band"), "warn"),
    work.HARD: (_("Off beyond the second band"), "bad"),
}
DISPUTE_STATES: dict[str, tuple[str | Promise, str]] = {
    rules.OPEN: (_("Open to replies"), "live"),
    rules.PROPOSED: (_("Proposed"), "warn"),
    rules.ESCALATED: (_("With staff"), "warn"),
    rules.RESOLVED: (_("Resolved"), "good"),
}
SIDES: dict[str, str | Promise] = {
    rules.RULE: _("The rule"),
    rules.BUYER: _("The buyer"),
    rules.SELLER: _("The provider"),
    rules.OPERATOR: _("The operator"),
}
EVENTS: dict[str, str | Promise] = {
    "opened": _("Opened"),
    "replied": _("Replied"),
    "proposed": _("Outcome proposed"),
    "accepted": _("Accepted"),
    "escalated": _("Handed to staff"),
    "decided": _("Decided"),
    "resolved": _("Resolved"),
}
RULES: dict[str, str | Promise] = {
    rules.GATEWAY_STANDS: _("The gateway's count stands: no two witnesses agree against it."),
    rules.WITNESSES_AGREE: _("The provider's agent and the buyer agree against the gateway; their count is taken."),
    rules.RECOMPUTED: _("What was stored beyond its own counts goes back."),
    rules.SIGNED_COUNTS: _("Requests that only the agent counted, and signed, are taken over."),
}
QUARANTINE: dict[str, str | Promise] = {
    "unknown_allocation": _("It names no allocation that its sender bought or sold."),
    "unknown_card": _("Its card is not the one that the allocation was sold under."),
    "future_time": _("Its time lay ahead of the platform's clock: the sender's clock was wrong."),
    "too_late": _("It came more than 35 days after its time. Only staff can release it."),
    "outside_window": _("Its time lies outside the allocation's window."),
    "beyond_belief": _("It counts more tokens than any request could use."),
    "aggregate_not_billable": _("A sum of many requests is a witness only and cannot be billed."),
}
CONFLICTS: dict[str, str | Promise] = {
    "content": _("Same id, other content. The first stands."),
    "sequence": _("Another id came with a sequence that was taken. The first stands."),
}
BACKFILL_STATES: dict[str, str | Promise] = {"queued": _("Queued"), "running": _("Running"), "done": _("Done")}
RESULTS: dict[str, str | Promise] = {
    "accepted": _("Counted"),
    "replayed": _("Stored before"),
    "conflict": _("Conflicts"),
    "quarantined": _("Set aside"),
    "rejected": _("Not readable"),
}
FIELDS: dict[str, str | Promise] = {
    "source": _("Source"),
    "id": _("Id"),
    "time": _("Time"),
    "subject": _("Request"),
    "allocation_id": _("Allocation"),
    "card_digest": _("Card"),
    "prompt_tokens": _("Prompt tokens"),
    "cached_tokens": _("Cached tokens"),
    "completion_tokens": _("Completion tokens"),
    "max_tokens": _("Limit of the request"),
    "finish_reason": _("Finish reason"),
    "started_at": _("Started"),
    "finished_at": _("Finished"),
    "served_format": _("Served format"),
    "counted_by": _("Counted by"),
    "gpu_micros": _("Device time, µs"),
    "draft_tokens": _("Draft tokens"),
    "accepted_tokens": _("Draft tokens accepted"),
    "voids": _("Takes back"),
    "aggregate": _("Sum of requests"),
}
REFUSALS: dict[str, str | Promise] = {
    "dispute_window_over": _("This delivery day can no longer be contested: seven days have passed since its close."),
    "nothing_to_contest": _("There is nothing to contest: the counts agree, or a dispute has these minutes already."),
    "still_waiting": _("Late records are still waited for. Contest it when that is over."),
    "dispute_state": _("The dispute has moved on; look at its state."),
    "bad_amount": _("The buyer gets back at most what is frozen."),
    "reason_missing": _("Say why in a few words."),
    "still_refused": _("Judged again, the record still does not count."),
    "resolved_before": _("This record was released or rejected before."),
    "unknown_organisation": _("There is no such organisation."),
    "forbidden": _("Your organisation cannot do this here."),
}


def causes(words: tuple[str, ...]) -> list[str | Promise]:
    """Causes as sentences' parts, in order."""
    return [CAUSES.get(word, word) for word in words]
