"""Tables of the market."""

from market.models.catalogue import Cell, GradeTerms, ListPrice, Market, ModelLine, Product
from market.models.delivery import Allocation, AllocationUse, Reservation, ReservationPart
from market.models.halts import Halt
from market.models.orders import Amendment, Book, CancelAfter, Order, OrderEnd, Supply
from market.models.rounds import FeedFrame, Fill, Round, RoundPrice

__all__ = [
    "Allocation",
    "AllocationUse",
    "Amendment",
    "Book",
    "CancelAfter",
    "Cell",
    "FeedFrame",
    "Fill",
    "GradeTerms",
    "Halt",
    "ListPrice",
    "Market",
    "ModelLine",
    "Order",
    "OrderEnd",
    "Product",
    "Reservation",
    "ReservationPart",
    "Round",
    "RoundPrice",
    "Supply",
]
