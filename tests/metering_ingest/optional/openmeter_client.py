"""OpenMeter's own Python client against our events face. Arguments: address, key, then events as JSON on standard input.

Run by `tests/metering_ingest/test_sdks.py` with the Python of `.venv-openmeter` (`make test-openmeter`): the client pins an
older `cloudevents` than the one that is tested here.
"""

from __future__ import annotations

import json
import sys

from openmeter import Client


def main() -> None:
    """Send the first event alone and then all as one batch: the first is then a replay."""
    address, key = sys.argv[1:]
    events = json.load(sys.stdin)
    with Client(endpoint=address, token=key) as client:
        client.events.ingest_event(events[0])
        client.events.ingest_events(events)
    print("sent")


if __name__ == "__main__":
    main()
