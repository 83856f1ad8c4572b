"""What the market refuses, each with its stable code."""

from __future__ import annotations

from accounts.kernel.errors import DomainError


class MarketError(DomainError):
    """The market refuses; the code says why."""


class UnknownLine(MarketError):
    """No model line has this name, or not for this organisation."""

    code = "unknown_line"


class UnknownGrade(MarketError):
    """The market does not trade this grade."""

    code = "unknown_grade"


class UnknownWindow(MarketError):
    """No window starts at this instant, or it is not open for trading yet."""

    code = "unknown_window"


class WindowClosed(MarketError):
    """The window is over."""

    code = "window_closed"


class OffTick(MarketError):
    """The limit is not a positive multiple of the tick."""

    code = "off_tick"


class OffLot(MarketError):
    """The quantity is not a positive multiple of the lot."""

    code = "off_lot"


class BudgetTooSmall(MarketError):
    """The budget does not pay for one lot at the limit; `details` give what a lot costs."""

    code = "budget_too_small"


class BeyondContext(MarketError):
    """A request of this many tokens is longer than the line's context; `details` give its limit."""

    code = "beyond_context"


class BadMinimum(MarketError):
    """A minimum quantity that the order cannot have."""

    code = "bad_minimum"


class BadScope(MarketError):
    """What a bid accepts is empty, unknown or named twice."""

    code = "bad_scope"


class OrderTooLarge(MarketError):
    """Limit or quantity is beyond what the market takes in one order."""

    code = "order_too_large"


class BadExpiry(MarketError):
    """A good-till-time order without a time to come."""

    code = "bad_expiry"


class OutsideCollar(MarketError):
    """The limit is beyond the collar; `details` name the bound."""

    code = "outside_collar"


class NotSupported(MarketError):
    """A part of the order that this market does not offer."""

    code = "not_supported"
    status = 400


class SelfTrade(MarketError):
    """The order would trade with an open order of its own organisation."""

    code = "self_trade"
    status = 409


class DuplicateClientOrderId(MarketError):
    """The client order id was used before for another order."""

    code = "duplicate_client_order_id"
    status = 409


class NotTried(MarketError):
    """Refused orders took the time of the batch; this one was not looked at."""

    code = "not_tried"
    status = 409
    retryable = True


class MarketHalted(MarketError):
    """The market takes no orders now; cancelling works."""

    code = "market_halted"
    status = 409
    retryable = True


class LineHalted(MarketError):
    """This line takes no orders now; cancelling works. Details: `reason`, `until` where an end is set."""

    code = "line_halted"
    status = 409
    retryable = True


class OrganisationHalted(MarketError):
    """This organisation places no orders now; cancelling works. Details: `reason`, `until` where an end is set."""

    code = "organisation_halted"
    status = 409
    retryable = True


class ProductParked(MarketError):
    """This product could not be cleared in three rounds and takes no orders until a person has looked at it."""

    code = "product_parked"
    status = 409
    retryable = True


class NoMarket(MarketError):
    """No market trades in this currency."""

    code = "no_market"
    status = 503
    retryable = True


class NoSupply(MarketError):
    """A sell order without enough declared capacity behind it."""

    code = "no_supply"
    status = 409


class NotFound(MarketError):
    """There is no such thing, or it is not this organisation's."""

    code = "not_found"
    status = 404


class OrderEnded(MarketError):
    """The order is not open any more."""

    code = "order_ended"
    status = 409


class NotAmendable(MarketError):
    """The platform keeps this order, for an offer; it is changed there."""

    code = "not_amendable"
    status = 409


class RoundRunning(MarketError):
    """The order's round is being cleared, longer than this request waited."""

    code = "round_running"
    status = 409
    retryable = True


class BelowFilled(MarketError):
    """The new quantity leaves nothing open; `details` give what is filled."""

    code = "below_filled"


class TooFast(MarketError):
    """What was bought covers the request, but not at this pace; details: `retry_after` in seconds."""

    code = "too_fast"
    status = 429
    retryable = True


class NoAllocation(MarketError):
    """Nothing bought is left that covers the request."""

    code = "no_allocation"
    status = 409
    retryable = True


class WindowOpen(MarketError):
    """The window has opened; what is bought of it stays bought."""

    code = "window_open"
    status = 409
