"""Tables of the market."""

from market.models.catalogue import Cell, GradeTerms, ListPrice, Market, ModelLine, Product
from market.models.choices import OrderChoice, OrderScope
from market.models.delivery import Allocation, AllocationUse, Reservation, ReservationPart
from market.models.halts import Halt, ProductFault
from market.models.obligations import AllocationClose, BuyBack, Charge, Closing
from market.models.orders import Amendment, Book, CancelAfter, Order, OrderEnd, Supply
from market.models.rounds import CellPrice, Certificate, ComponentTask, FeedFrame, Fill, Round, RoundPrice

__all__ = [
    "Allocation",
    "AllocationClose",
    "AllocationUse",
    "Amendment",
    "Book",
    "BuyBack",
    "CancelAfter",
    "Cell",
    "CellPrice",
    "Certificate",
    "Charge",
    "Closing",
    "ComponentTask",
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
