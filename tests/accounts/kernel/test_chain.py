"""The chain names the first change of any event, link, order or end."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from accounts.kernel.chain import START, Anchor, Event, Link, faults, link_hash

EVENTS = st.lists(
    st.tuples(*[st.none() | st.text(max_size=12)] * 7), min_size=1, max_size=12
).map(lambda texts: [Event(number * 3 + 1, one) for number, one in enumerate(texts)])  # fmt: skip


def chained(events: list[Event]) -> list[Link]:
    """The chain as the sealer makes it."""
    links, previous = [], START
    for position, event in enumerate(events, 1):
        previous = link_hash(previous, event)
        links.append(Link(position, event, previous))
    return links


@given(EVENTS)
def test_an_untouched_chain_has_no_fault(events: list[Event]) -> None:
    links = chained(events)
    assert list(faults(links, [Anchor(link.position, link.hash) for link in links])) == []


@given(EVENTS, st.randoms(use_true_random=False), st.integers(0, 6))
def test_a_changed_event_is_named_alone(events: list[Event], chance: random.Random, field: int) -> None:
    links = chained(events)
    at = chance.randrange(len(links))
    event = links[at].event
    assert event is not None
    texts = list(event.texts)
    texts[field] = (texts[field] or "") + "x"
    links[at] = replace(links[at], event=Event(event.id, tuple(texts)))
    assert [position for position, _ in faults(links)] == [at + 1]


@given(EVENTS, st.randoms(use_true_random=False))
def test_a_link_that_is_gone_or_moved_is_named_first(events: list[Event], chance: random.Random) -> None:
    links = chained(events)
    at = chance.randrange(len(links))
    rest = links[:at] + links[at + 1 :]
    heads = [Anchor(links[-1].position, links[-1].hash)]
    assert next(faults(rest, heads))[0] == at + 1
    for first, second in pairwise(range(len(links))):
        swapped = list(links)
        swapped[first] = replace(links[first], event=links[second].event)
        swapped[second] = replace(links[second], event=links[first].event)
        assert next(faults(swapped))[0] == first + 1


@given(EVENTS)
def test_a_tail_that_was_cut_or_written_anew_is_seen_by_the_copied_head_only(events: list[Event]) -> None:
    links = chained(events)
    head = Anchor(links[-1].position, links[-1].hash)
    assert list(faults(links[:-1])) == []
    assert [position for position, _ in faults(links[:-1], [head])] == [head.position]
    anew = chained([*events[:-1], Event(events[-1].id, ("forged",) * 7)])
    assert list(faults(anew)) == []
    assert [position for position, _ in faults(anew, [head])] == [head.position]
