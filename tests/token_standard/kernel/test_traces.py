"""The importer on the published files and on everything that can be wrong with one."""

import gzip
import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_standard import catalogue, usage
from token_standard.traces import TraceError, TraceRow, cached_tokens, read_trace

DATA = Path(__file__).parents[2] / "data" / "tokens"
CODE = DATA / "AzureLLMInferenceTrace_code.csv.gz"
CONV = DATA / "AzureLLMInferenceTrace_conv.csv.gz"
MOONCAKE = DATA / "mooncake_conversation_trace.jsonl.gz"
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
ROW = "2023-11-16 18:17:03.9799600,4808,10"


@pytest.fixture(scope="module")
def published():
    return {path: list(read_trace(path)) for path in (CODE, CONV, MOONCAKE)}


@pytest.fixture
def write(tmp_path):
    def write(content: bytes | str) -> Path:
        path = tmp_path / "trace"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


class TestPublishedTraces:
    @pytest.mark.parametrize(
        ("path", "digest"),
        [
            (CODE, "54e9a6d2a4bd06ba1e060304b900abbc74cbea53de96506e60fe5bb4f2277fb6"),
            (CONV, "2f1e5b666d4e3055fdbba98598ce2ec307767b9064e03e2fa46676dbcc7d0bf8"),
            (MOONCAKE, "b8cbb061a85206d729d91cdc2981f43c9e0d99209dce588d3af5f7934408b9df"),
        ],
    )
    def test_are_the_publishers_originals(self, path, digest):
        assert hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest() == digest

    @pytest.mark.parametrize(
        ("path", "sums"),
        [
            (CODE, (8819, 18059974, 245896, 35679381789, 524109173)),
            (CONV, (19366, 22361870, 4088665, 24826290117, 5018750447)),
            (MOONCAKE, (12031, 144793823, 4122048, 2373148641182, 54107643320)),
        ],
    )
    def test_are_read_without_losing_a_row(self, published, path, sums):
        rows = published[path]

        assert sums == (
            len(rows),
            sum(row.prompt for row in rows),
            sum(row.generated for row in rows),
            sum(row.prompt * (row.prompt + 1) // 2 for row in rows),
            sum(row.generated * row.prompt + row.generated * (row.generated + 1) // 2 for row in rows),
        )

    def test_have_their_published_spans(self, published):
        def clock(row: TraceRow) -> str:
            at = datetime.fromtimestamp(row.at_ns // 10**9, tz=UTC)
            return f"{at:%F %T}.{row.at_ns % 10**9 // 10**3:06d}"

        assert published[CODE][0] == TraceRow(at_ns=1700158623_979960000, prompt=4808, generated=10)
        assert [clock(published[path][end]) for path in (CODE, CONV) for end in (0, -1)] == [
            "2023-11-16 18:17:03.979960",
            "2023-11-16 19:14:19.928016",
            "2023-11-16 18:15:46.680590",
            "2023-11-16 19:14:08.402527",
        ]
        assert [published[MOONCAKE][end].at_seconds * 1000 for end in (0, -1)] == [0, 3536999]

    def test_have_the_published_prefix_cache(self, published):
        walked = list(cached_tokens(published[MOONCAKE]))
        blocks = [block for row in published[MOONCAKE] for block in row.hash_ids]

        assert (len(blocks), len(set(blocks))) == (288500, 182790)
        assert sum(cached for _, cached in walked) == 54098293
        assert sum(row.prompt - cached for row, cached in walked) == 90695530
        pairs = ((row.prompt - cached, cached) for row, cached in walked)
        assert sum(n * c + n * (n + 1) // 2 for n, c in pairs) == 1610078930190


class TestGoldenTotals:
    @pytest.mark.parametrize(
        ("path", "model", "cache", "exact", "invoiced"),
        [
            (CODE, "llama-2-7b", False, "1640998.353532", "1640998.353498"),
            (CODE, "llama-3-8b", False, "1594084.505675", "1594084.505646"),
            (CONV, "llama-2-7b", False, "4474605.786361", "4474605.786340"),
            (CONV, "llama-3-8b", False, "3290077.586744", "3290077.586673"),
            (MOONCAKE, "llama-3-8b", False, "24063744.235", "24063744.234596"),
            (MOONCAKE, "llama-3-8b", True, "17778649.355", "17778649.354611"),
        ],
    )
    def test_agree_in_both_kinds(self, published, path, model, cache, exact, invoiced):
        walked = cached_tokens(published[path])
        requests = ((row.prompt - cached, cached, row.generated) for row, cached in walked)
        if not cache:
            requests = ((row.prompt, 0, row.generated) for row in published[path])

        sums = usage.total(catalogue.card(model), requests)

        places = len(exact.partition(".")[2])
        assert round(sums.exact * 10**places) == int(exact.replace(".", ""))
        assert usage.st_text(sums.micro_st) == invoiced


class TestReadTrace:
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("last", [True, False])
    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_takes_any_line_end_and_a_missing_last_newline(self, write, end, last, mark, pack):
        text = mark + end.join([HEADER, ROW, "2023-11-16 18:17:04,0,1"]) + (end if last else "")

        rows = list(read_trace(write(pack(text.encode()))))

        assert [(row.prompt, row.generated) for row in rows] == [(4808, 10), (0, 1)]

    @given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=20), st.data())
    def test_reads_back_what_was_written(self, tmp_path_factory, counts, data):
        ends = st.sampled_from(["\n", "\r\n", "\n\n"])
        lines = [HEADER, *(f"2023-11-16 18:17:03.9799600,{prompt},{generated}" for prompt, generated in counts)]
        path = tmp_path_factory.mktemp("trace") / "mixed.csv"
        path.write_text("".join(line + data.draw(ends) for line in lines).rstrip("\r\n"), newline="")

        assert [(row.prompt, row.generated) for row in read_trace(path)] == counts

    def test_keeps_a_hundred_nanoseconds(self, write):
        (row,) = read_trace(write(f"{HEADER}\n1970-01-01 00:00:01.0000001,1,1"))

        assert row.at_ns == 1_000_000_100

    def test_takes_a_header_without_rows(self, write):
        assert list(read_trace(write(HEADER))) == []

    def test_takes_json_lines_without_hashes(self, write):
        (row,) = read_trace(write('{"timestamp": 7, "input_length": 3, "output_length": 2}\r\n'))

        assert row == TraceRow(at_ns=7_000_000, prompt=3, generated=2, hash_ids=())

    @pytest.mark.parametrize(
        ("bad", "problem"),
        [
            ("2023-11-16 18:17:04.0,12", "expected 3 fields, found 2"),
            ("2023-11-16 18:17:04.0,12,13,14", "expected 3 fields, found 4"),
            ("2023-11-16 18:17:04.0,12,", "not a number of tokens: ''"),
            ("2023-11-16 18:17:04.0,-1,3", "not a number of tokens: '-1'"),
            ("2023-11-16 18:17:04.0,1.5,3", "not a number of tokens"),
            ("2023-11-16 18:17:04.0,1_000,3", "not a number of tokens"),
            ("2023-11-16 18:17:04.0,１２,3", "not a number of tokens"),
            ("2023-11-16 18:17:04.0,9999999999999999,3", "not a number of tokens"),
            ("2023-13-16 18:17:04.0,1,3", "not a time"),
            ("yesterday,1,3", "not a time"),
            (HEADER, "not a time"),
        ],
    )
    def test_names_the_line_of_a_malformed_csv_row(self, write, bad, problem):
        path = write("\r\n".join([HEADER, ROW, bad, ROW]))

        with pytest.raises(TraceError, match=f"line 3: .*{re.escape(problem)}") as caught:
            list(read_trace(path))
        assert (caught.value.line, caught.value.path) == (3, path)

    @pytest.mark.parametrize(
        ("bad", "problem"),
        [
            ('{"timestamp": 1, "input_length": 5', "not JSON"),
            ("[1, 2]", "expected a JSON object"),
            ("[" * 100_000, "not JSON"),
            ('{"timestamp": 1, "input_length": 5}', "output_length is missing"),
            ('{"timestamp": 1, "input_length": -5, "output_length": 1}', "input_length must be"),
            ('{"timestamp": 1, "input_length": "5", "output_length": 1}', "input_length must be"),
            ('{"timestamp": 1, "input_length": true, "output_length": 1}', "input_length must be"),
            ('{"timestamp": 1.5, "input_length": 5, "output_length": 1}', "timestamp must be"),
            ('{"timestamp": 1, "input_length": 5, "output_length": 1, "hash_ids": 3}', "hash_ids must be"),
            ('{"timestamp": 1, "input_length": 5, "output_length": 1, "hash_ids": ["a"]}', "hash_ids must be"),
        ],
    )
    def test_names_the_line_of_a_malformed_json_row(self, write, bad, problem):
        good = '{"timestamp": 0, "input_length": 5, "output_length": 1, "hash_ids": [0]}'

        with pytest.raises(TraceError, match=f"line 2: .*{re.escape(problem)}"):
            list(read_trace(write(f"{good}\n{bad}\n{good}")))

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (b"", "the file is empty"),
            (b"\r\n\r\n", "the file is empty"),
            (b"time,tokens\n1,2\n", "line 1: expected the header"),
            (HEADER.encode() + b"\n\xff\xfe\n", "line 2: not UTF-8 text"),
            (gzip.compress(ROW.encode() * 50)[:40], "ended before"),
            (gzip.compress(ROW.encode())[:10] + b"\xff" * 20, "invalid"),
        ],
    )
    def test_says_what_is_wrong_with_a_file(self, write, content, problem):
        with pytest.raises(TraceError, match=problem):
            list(read_trace(write(content)))

    def test_says_that_a_file_is_missing(self, tmp_path):
        with pytest.raises(TraceError, match="No such file"):
            list(read_trace(tmp_path / "none.csv"))


class TestCachedTokens:
    def test_counts_leading_blocks_seen_before(self):
        rows = [
            TraceRow(0, 1000, 1, (1, 2)),
            TraceRow(0, 1500, 1, (1, 2, 3)),
            TraceRow(0, 1500, 1, (9, 2, 3)),  # a later block helps nobody without those before it
            TraceRow(0, 600, 1, (1, 7)),
        ]

        assert [cached for _, cached in cached_tokens(rows)] == [0, 1024, 0, 512]

    def test_never_caches_the_last_token(self):
        rows = [TraceRow(0, 700, 1, (1, 2)), TraceRow(0, 700, 1, (1, 2)), TraceRow(0, 0, 1, ())]

        assert [cached for _, cached in cached_tokens(rows)] == [0, 699, 0]

    def test_does_not_find_a_block_in_the_same_request(self):
        assert [cached for _, cached in cached_tokens([TraceRow(0, 1000, 1, (1, 1))])] == [0]

    def test_takes_rows_without_hashes_as_uncached(self):
        assert [cached for _, cached in cached_tokens([TraceRow(0, 1000, 1), TraceRow(0, 1000, 1)])] == [0, 0]
