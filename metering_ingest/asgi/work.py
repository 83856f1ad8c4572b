"""What a thread does with a group of requests: who sends, what they say, one transaction, an answer each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import msgspec
import structlog
from django.db import DatabaseError, OperationalError, close_old_connections, transaction

from accounts.authentication import actor_from_headers
from accounts.kernel.actor import Actor
from accounts.selectors import clock
from metering_ingest import services
from metering_ingest.asgi.answers import Answer, json_answer, problem
from metering_ingest.kernel.events import MalformedEvent, UnsupportedContentType
from metering_ingest.kernel.events import parse as parse_events
from metering_ingest.kernel.inflate import BadEncoding, TooLarge, gunzip
from metering_ingest.kernel.records import MalformedBody
from metering_ingest.kernel.records import parse as parse_records
from metering_ingest.services import Sender, Submission, Taken
from providers.kernel.signatures import BadSignature, SignedRequest, is_signed, read
from providers.services import agents
from providers.services.agents import AgentIdentity

log = structlog.get_logger(__name__)
RECORDS = "/api/v1/usage-records"
EVENTS = "/api/v1/events"
MOST_BYTES = 8 * 1024 * 1024
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Request:
    """One request, read whole. Names of headers are in lower case."""

    path: str
    uri: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    request_id: str


@dataclass(slots=True)
class _Pending:
    """A request on its way: its sender and submission once they are known, its answer as soon as there is one."""

    request: Request
    signed: SignedRequest | None = None
    sender: Sender | None = None
    nonce: tuple[UUID, bytes] | None = None
    submission: Submission | None = None
    answer: Answer | None = None

    def refuse(self, status: int, code: str, detail: str, **more: object) -> None:
        self.answer = problem(status, code, detail, self.request.request_id, **more)  # type: ignore[arg-type]


class _Result(msgspec.Struct):
    index: int
    result: str
    id: str
    record: str | None
    content: str | None
    sequence: int | None
    code: str | None
    field: str | None
    reason: str | None


class _Results(msgspec.Struct):
    results: list[_Result]
    gaps: list[tuple[int, int]]


def answer_all(requests: Sequence[Request]) -> list[Answer]:
    """Answer a group of requests, each for itself; what is acknowledged is committed."""
    close_old_connections()
    group = [_Pending(request) for request in requests]
    try:
        now = clock.now()
        _name_senders(group, now)
        for one in group:
            _read(one)
        _take([one for one in group if one.answer is None], now)
    except OperationalError:
        log.warning("metering.ingest.database_unavailable", requests=len(group))
        for one in group:
            if one.answer is None:
                one.refuse(503, "busy", "The database did not answer; send the same batch again.", retry_after=2)
    finally:
        close_old_connections()
    return [one.answer or answer_in_fear(one.request) for one in group]


def answer_in_fear(request: Request) -> Answer:
    """Something went wrong that should not."""
    return problem(500, "internal_error", "Something went wrong here; send the same batch again.", request.request_id)


def _name_senders(group: Sequence[_Pending], now: datetime) -> None:
    """Say who sends each request, or refuse it. One look-up serves all that are signed, and all of one secret."""
    actors: dict[str, Actor | None] = {}
    for one in group:
        headers = one.request.headers
        if is_signed(headers):
            try:
                one.signed = read(method="POST", target_uri=one.request.uri, headers=headers, body=one.request.body)
            except BadSignature as error:
                _bad_signature(one, error)
            continue
        secret = headers.get("authorization", "")
        if secret not in actors:
            actors[secret] = actor_from_headers(headers)
        _by_key(one, actors[secret])
    signed = [(one, one.signed) for one in group if one.signed is not None]
    if not signed:
        return
    found = agents.identify([request for _, request in signed], now=now)
    for (one, request), who in zip(signed, found, strict=True):
        _by_signature(one, request, who)


def _by_key(one: _Pending, actor: Actor | None) -> None:
    if actor is None:
        one.refuse(401, "unauthorized", "A signature or a valid API key is needed.")
    elif not actor.can("usage:write"):
        one.refuse(403, "scope_missing", "This key lacks the scope usage:write.")
    else:
        one.sender = services.sender_of(actor)


def _by_signature(one: _Pending, request: SignedRequest, who: AgentIdentity | BadSignature) -> None:
    if isinstance(who, BadSignature):
        _bad_signature(one, who)
    elif who.parked:
        one.refuse(403, "agent_parked", "This agent is parked; its provider can release it.")
    else:
        one.sender = Sender(who.organisation_id, who.organisation_kind == "operator", who.agent_id)
        one.nonce = (who.key_id, request.nonce_hash)


def _bad_signature(one: _Pending, error: BadSignature) -> None:
    log.warning("metering.signature_refused", reason=error.reason, request_id=one.request.request_id)
    one.refuse(401, "bad_signature", str(error), reason=error.reason)


def _read(one: _Pending) -> None:
    """Read the body of a request whose sender is known."""
    if one.sender is None:
        return
    try:
        body = _inflated(one.request)
        one.submission = _submission(one.request, body, one.sender)
    except TooLarge as error:
        one.refuse(413, "body_too_large", str(error))
    except BadEncoding as error:
        one.refuse(400, "bad_encoding", str(error))
    except UnsupportedContentType as error:
        one.refuse(415, "unsupported_content_type", str(error))
    except MalformedBody as error:
        wrong = {"field": error.field, "message": str(error), "code": "malformed"}
        one.refuse(400, "malformed_body", str(error), errors=[wrong])
    except MalformedEvent as error:
        errors = [{"index": error.index, "field": error.field, "message": str(error), "code": "malformed"}]
        one.refuse(400, "malformed_event", f"Event {error.index}: {error}", errors=errors)


def _inflated(request: Request) -> bytes:
    encoding = request.headers.get("content-encoding", "").lower()
    if encoding in {"", "identity"}:
        if len(request.body) > MOST_BYTES:
            raise TooLarge(f"The body is larger than {MOST_BYTES} bytes.")
        return request.body
    if encoding != "gzip":
        raise UnsupportedContentType("Bodies may be compressed by gzip only.")
    return gunzip(request.body, most=MOST_BYTES)


def _submission(request: Request, body: bytes, sender: Sender) -> Submission:
    content_type = request.headers.get("content-type", "")
    if request.path == EVENTS:
        try:
            return Submission(sender, parse_events(body, content_type=content_type, headers=request.headers))
        except UnsupportedContentType:
            raise UnsupportedContentType(
                "Send application/cloudevents+json, application/cloudevents-batch+json, or a binary CloudEvent."
            ) from None
    if content_type.split(";", 1)[0].strip().lower() != "application/json":
        raise UnsupportedContentType("Send application/json.")
    batch = parse_records(body, signed=sender.agent_id is not None)
    return Submission(sender, batch.records, batch.sequences, batch.epoch, batch.checkpoint)


def _take(group: Sequence[_Pending], now: datetime) -> None:
    """Take in what was read, all in one transaction; where that fails, each in its own."""
    if not group:
        return
    try:
        _commit(group, now)
    except OperationalError:
        raise
    except (DatabaseError, ValueError, OverflowError):
        log.exception("metering.ingest.group_failed", requests=len(group))
        for one in group:
            one.answer = None
            try:
                _commit([one], now)
            except OperationalError:
                raise
            except (DatabaseError, ValueError, OverflowError):
                one.answer = answer_in_fear(one.request)


def _commit(group: Sequence[_Pending], now: datetime) -> None:
    answers: dict[int, Answer] = {}
    with transaction.atomic(durable=True):
        fresh = _spend_nonces(group, now)
        submissions = [one.submission for one in fresh if one.submission is not None]
        for one, taken in zip(fresh, services.take(submissions, now=now), strict=True):
            answers[id(one)] = _answer(one, taken)
    for one in fresh:
        one.answer = answers[id(one)]


def _spend_nonces(group: Sequence[_Pending], now: datetime) -> list[_Pending]:
    """Those of the group whose nonce is new; a replayed one is refused. Undone with the transaction."""
    signed = [one for one in group if one.nonce is not None]
    if not signed:
        return list(group)
    claimed = agents.claim_nonces([one.nonce for one in signed if one.nonce is not None], now=now)
    for one, is_new in zip(signed, claimed, strict=True):
        if not is_new:
            _bad_signature(one, BadSignature("replayed", "This nonce was used before."))
    return [one for one in group if one.answer is None]


def _answer(one: _Pending, taken: Taken) -> Answer:
    if one.request.path == EVENTS:
        return Answer(204)
    results = [
        _Result(at, o.result, o.id, o.record, o.content, o.sequence, o.code, o.field, o.reason)
        for at, o in enumerate(taken.outcomes)
    ]
    return json_answer(_encoder.encode(_Results(results, taken.gaps)))
