"""Reading requests and engines' streams, and counting what was delivered."""

import json
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.kernel.answering import Answer, Usage
from dispatch.kernel.asking import read
from dispatch.kernel.counting import Delivered, prompt_tokens
from dispatch.kernel.engine_stream import BadStream, EventReader, Piece, read_chunk
from dispatch.kernel.errors import BadRequest, NotSupported
from token_standard.tokenizer import REFERENCE

CANARY = "canary-7f3a91-do-not-keep"


def body(**members: object) -> bytes:
    return json.dumps({"model": "llama-3-8b", "messages": [{"role": "user", "content": CANARY}], **members}).encode()


class TestReading:
    def test_takes_what_openais_client_sends(self) -> None:
        asked = read(
            body(max_tokens=7, stream=True, stream_options={"include_usage": True}, user="u", top_p=0.5), chat=True
        )

        assert (asked.model, asked.max_tokens, asked.stream, asked.include_usage) == ("llama-3-8b", 7, True, True)
        assert asked.messages == (("user", CANARY),)
        assert asked.options == {"top_p": 0.5}

    def test_joins_text_parts_and_reads_developer_as_system(self) -> None:
        asked = read(
            body(
                messages=[
                    {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
                ]
            ),
            chat=True,
        )

        assert asked.messages == (("system", "ab"),)

    def test_takes_a_plain_prompt(self) -> None:
        assert read(b'{"model": "m", "prompt": ["hi"]}', chat=False).messages == (("", "hi"),)

    def test_prefers_the_newer_name_of_the_limit(self) -> None:
        assert read(body(max_tokens=7, max_completion_tokens=9), chat=True).max_tokens == 9

    def test_does_not_show_the_prompt_in_its_repr(self) -> None:
        assert CANARY not in repr(read(body(stop=CANARY), chat=True))

    @pytest.mark.parametrize(
        "members",
        [{"n": 2}, {"tools": [{}]}, {"logprobs": True}, {"response_format": {"type": "json_object"}},
         {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
         {"messages": [{"role": "tool", "content": "x"}]}],
    )  # fmt: skip
    def test_refuses_what_would_change_the_answer(self, members: dict[str, object]) -> None:
        with pytest.raises(NotSupported):
            read(body(**members), chat=True)

    @pytest.mark.parametrize(
        "raw",
        [b"", b"{", b"[]", b'{"model": 1}', b"\xff", b'{"model":"m"}', body(max_tokens=0), body(max_tokens=-1), body(max_tokens=1.5),
         body(max_tokens=True), body(max_tokens="7"), body(max_tokens=10**30), body(messages=[]), body(messages=[{"role": "king", "content": "x"}]),
         b'{"model":"m","temperature":NaN,"messages":[{"role":"user","content":"x"}]}', b'{"model":"m","x":' + b"[" * 100_000],
    )  # fmt: skip
    def test_refuses_what_is_no_request(self, raw: bytes) -> None:
        with pytest.raises(BadRequest) as caught:
            read(raw, chat=True)

        assert CANARY not in str(caught.value)


class TestEventReader:
    EVENTS = (b'{"a": 1}', '{"b": "\u2028\u0085 中文"}'.encode(), b"[DONE]")

    @given(st.lists(st.integers(0, 200), max_size=20), st.sampled_from([b"\n", b"\r\n"]))
    def test_gives_the_same_events_however_the_bytes_are_cut(self, cuts: list[int], end: bytes) -> None:
        stream = b": hello" + end + end + b"".join(b"data: " + event + end + end for event in self.EVENTS)
        places = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
        reader = EventReader()

        got = [event for a, b in pairwise(places) for event in reader.feed(stream[a:b])]

        assert got == list(self.EVENTS)

    def test_refuses_an_endless_event(self) -> None:
        reader = EventReader()

        with pytest.raises(BadStream):
            for _ in range(20):
                reader.feed(b"x" * 100_000)


class TestChunks:
    def test_are_read_as_pieces(self) -> None:
        piece = read_chunk(
            b'{"id":"x","choices":[{"index":0,"delta":{"content":"hi","reasoning_content":"hm"},"finish_reason":"stop"}]}'
        )

        assert piece == Piece("hi", "hm", "stop", None)

    def test_tell_the_cached_tokens_where_the_engine_knows_them(self) -> None:
        assert read_chunk(b'{"choices":[],"usage":{"prompt_tokens_details":{"cached_tokens":5}}}').cached_tokens == 5

    @pytest.mark.parametrize("data", [b"", b"nonsense", b'{"choices":[{"text":1}]}', b'{"error":{"message":"boom"}}'])
    def test_are_refused_where_they_are_none(self, data: bytes) -> None:
        with pytest.raises(BadStream) as caught:
            read_chunk(data)

        assert caught.value.__cause__ is None


class TestCounting:
    def test_counts_each_message_on_its_own(self) -> None:
        assert prompt_tokens(REFERENCE, ["ab", "cd"]) == 2
        assert prompt_tokens(REFERENCE, ["abcd"]) == 1

    @given(st.text(max_size=60), st.lists(st.integers(0, 60), max_size=8))
    def test_does_not_depend_on_where_the_engine_cut_the_text(self, text: str, cuts: list[int]) -> None:
        places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
        delivered = Delivered(REFERENCE, 10)

        for a, b in pairwise(places):
            delivered.add(text[a:b], "")

        assert delivered.tokens() == REFERENCE.count(text)
        assert delivered.text() == text
        assert delivered.nothing == (text == "")

    def test_gives_up_on_an_engine_that_never_ends(self) -> None:
        delivered = Delivered(REFERENCE, 1)
        for _ in range(260):
            delivered.add("word ", "")

        assert delivered.rogue


class TestAnswer:
    ANSWER = Answer(request_id="r", model="m", created=1, chat=True, include_usage=True)

    def test_says_standard_tokens_in_the_last_chunk(self) -> None:
        event = self.ANSWER.usage_event(Usage(10, 4, 5, 1_234_567))

        usage = msgspec.json.decode(event.removeprefix(b"data: "))["usage"]
        assert usage["total_tokens"] == 15
        assert usage["prompt_tokens_details"] == {"cached_tokens": 4}
        assert usage["tokenspot"] == {"standard_tokens": "1.234567", "micro_st": "1234567"}

    def test_sends_no_usage_where_none_was_asked_for(self) -> None:
        answer = Answer(request_id="r", model="m", created=1, chat=True, include_usage=False)

        assert answer.usage_event(Usage(1, 0, 1, 1)) == b""
        assert b"usage" not in answer.event(Piece("x"))
