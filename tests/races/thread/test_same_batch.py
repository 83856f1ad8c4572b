"""The same batch from many threads at once is counted once."""

from __future__ import annotations

import random
import threading

from django.db import connection

from metering_ingest import selectors, services
from metering_ingest.services import IngestResult
from tests.metering_ingest.scene import HOUR, Bought, event

THREADS = 8


def test_the_same_batch_from_eight_threads_is_counted_once(bought: Bought) -> None:
    events = [event(bought.allocations[n % 2], f"r{n}", prompt=n + 1) for n in range(200)]
    barrier = threading.Barrier(THREADS)
    results: list[IngestResult | BaseException] = []

    def send(seed: int) -> None:
        own = random.Random(seed).sample(events, len(events))  # each in its own order
        try:
            barrier.wait(30)
            results.append(services.ingest_records(own, sender=bought.operator, now=HOUR))
        except BaseException as error:
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    taken = [one for one in results if isinstance(one, IngestResult)]
    assert len(taken) == THREADS, results
    assert sum(one.accepted for one in taken) == 200
    assert sum(one.replayed for one in taken) == 200 * (THREADS - 1)
    assert not any(one.conflicts or one.quarantined for one in taken)
    totals = selectors.totals()
    assert (totals.records, totals.prompt_tokens) == (200, sum(range(1, 201)))
    assert selectors.verify() == []
