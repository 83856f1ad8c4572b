"""Transactions that repeat themselves, and the database's words in ours."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import ParamSpec, TypeVar
from uuid import UUID

from django.db import DatabaseError, connection, transaction

from ledger.kernel.errors import BadAmount, Busy, InsufficientFunds
from ledger.locks import Locked

_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")

MOST_RETRIES = 3
_DEADLOCK, _SERIALIZATION, _LOCK_TIMEOUT = "40P01", "40001", "55P03"
_CURED_BY_RETRY = {_DEADLOCK, _SERIALIZATION}


def transactional(function: Callable[_Args, _Result]) -> Callable[_Args, _Result]:
    """Run the function in the caller's transaction, or in its own where there is none.

    A transaction of its own is repeated up to three times after a deadlock or a
    serialization failure. In the caller's, only the caller can repeat it.

    :raises Busy: others kept the rows; nothing was written.
    """

    @functools.wraps(function)
    def run(*args: _Args.args, **kwargs: _Args.kwargs) -> _Result:
        if connection.in_atomic_block:
            with _translated():
                return function(*args, **kwargs)
        for attempt in range(MOST_RETRIES + 1):
            try:
                with _translated(), transaction.atomic():
                    return function(*args, **kwargs)
            except Busy as error:
                if attempt == MOST_RETRIES or _sqlstate(error.__cause__) not in _CURED_BY_RETRY:
                    raise
                # Both sides of a deadlock must not meet again at once.
                time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311
        raise AssertionError("the loop returns or raises")

    return run


@contextmanager
def floor_guard(locked: Mapping[UUID, Locked], needed: Mapping[UUID, int]) -> Iterator[None]:
    """Write under a savepoint, and read a breach of the floor as `InsufficientFunds`.

    `needed` is what the write takes from what each account has available, in micro-yuan.

    :raises InsufficientFunds: the database refused; details name the first account that lacks the money.
    :raises BadAmount: a total would leave the range of all totals.
    """
    try:
        with transaction.atomic():
            yield
    except DatabaseError as error:
        constraint = _constraint(error)
        if constraint == "ledger_account_bounds" or _sqlstate(error) == "22003":
            raise BadAmount("A total would leave the range of amounts.") from error
        if constraint != "ledger_account_floor":
            raise
        raise _insufficient(locked, needed) from error


def _insufficient(locked: Mapping[UUID, Locked], needed: Mapping[UUID, int]) -> InsufficientFunds:
    for account_id in sorted(needed):
        available = locked[account_id].available_micros
        if needed[account_id] > available:
            return InsufficientFunds(
                "The account does not cover this.",
                account_id=str(account_id),
                available_micros=available,
                needed_micros=needed[account_id],
            )
    return InsufficientFunds("The account does not cover this.")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        if _sqlstate(error) in _CURED_BY_RETRY | {_LOCK_TIMEOUT}:
            raise Busy("The accounts are busy; try again.") from error
        raise


def _sqlstate(error: BaseException | None) -> str | None:
    return getattr(error.__cause__, "sqlstate", None) if error else None


def _constraint(error: DatabaseError) -> str | None:
    diagnosis = getattr(error.__cause__, "diag", None)
    return getattr(diagnosis, "constraint_name", None)
