"""Tables of the market."""

from market.models.catalogue import Cell, GradeTerms, ListPrice, Market, ModelLine, Product
from market.models.choices import OrderChoice, OrderScope
from market.models.delivery import Allocation, AllocationUse, Reservation, ReservationPart
from market.models.halts import Halt, ProductFault
from market.models.orders import Amendment, Book, CancelAfter, Order, OrderEnd, Supply
from market.models.rounds import CellPrice, Certificate, FeedFrame, Fill, Round, RoundPrice

__all__ = [
    "Allocation",
    "AllocationUse",
    "Amendment",
    "Book",
    "CancelAfter",
    "Cell",
    "CellPrice",
    "Certificate",
    "FeedFrame",
    "Fill",
    "GradeTerms",
    "Halt",
    "ListPrice",
    "Market",
    "ModelLine",
    "Order",
    "OrderChoice",
    "OrderEnd",
    "OrderScope",
    "Product",
    "ProductFault",
    "Reservation",
    "ReservationPart",
    "Round",
    "RoundPrice",
    "Supply",
]
