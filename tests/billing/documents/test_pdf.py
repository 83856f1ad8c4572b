import io
import unicodedata
from dataclasses import replace
from datetime import date

import pytest
from pypdf import PdfReader

from billing.documents import csv as invoice_csv
from billing.documents import glyphs, pdf
from billing.documents.glyphs import MissingGlyphs
from billing.documents.labels import LABELS
from billing.kernel.decimals import grouped
from tests.billing.documents import sample
from tests.billing.documents.test_csv import read

LANGUAGES = ("zh", "en")


def pages(document: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(document)).pages]


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("language", LANGUAGES)
class TestPdf:
    @pytest.mark.parametrize("lines", [1, 120])
    def test_shows_the_figures_of_the_csv_digit_by_digit(self, language, lines):
        figures = sample.document(lines)
        *rows, rounding, total = read(invoice_csv.render(figures))

        text = squeezed("".join(pages(pdf.render(figures, language))))

        t = LABELS[language]
        at = text.index(squeezed(t["amount"]))
        for row in rows:
            expected = "".join(
                [
                    *(t[kind] + grouped(row[f"{kind}_tokens"]) for kind in ("input", "cached", "output")),
                    grouped(row["quantity_million_st"]),
                    grouped(row["average_price_per_million_st"]),
                    row["average_price_per_st"],
                    grouped(row["net"]),
                    row["tax_rate_percent"] + "%",
                    grouped(row["tax"]),
                    grouped(row["amount"]),
                ]
            )
            at = text.index(squeezed(expected), at)
        symbol = pdf.SYMBOL[language]
        for label, value in [("exact", total["exact_amount"]), ("net", total["net"]), ("tax", total["tax"])]:
            at = text.index(squeezed(t[label]) + symbol + grouped(value), at)
        sign = "−" if rounding["exact_amount"].startswith("-") else ""
        assert squeezed(t["rounding"]) + sign + symbol + grouped(rounding["exact_amount"].lstrip("-")) in text
        for tax in figures.taxes:
            assert f"{tax.rate_percent}%{grouped(tax.net)}{grouped(tax.tax)}{grouped(tax.gross)}" in text
        words = "人民币" + figures.total_words_zh if language == "zh" else figures.total_words_en
        assert squeezed(t["total"] + words) + symbol + grouped(total["amount"]) in text
        assert squeezed(t["settled"]) + symbol + grouped(figures.settled) in text

    def test_names_both_parties_with_what_a_tax_office_asks_for(self, language):
        figures = sample.document()

        text = squeezed("".join(pages(pdf.render(figures, language))))

        for party in (figures.seller, figures.buyer):
            for field in ("name", "tax_number", "address", "bank", "bank_account"):
                assert squeezed(LABELS[language][field] + getattr(party, field)) in text
        assert squeezed(LABELS[language]["phone"]) + "—" in text
        assert figures.verification_code in text
        assert figures.link in text
        assert figures.number in text

    def test_repeats_the_head_of_the_table_and_counts_its_pages(self, language):
        texts = pages(pdf.render(sample.document(120), language))

        assert len(texts) > 3
        for n, text in enumerate(texts, start=1):
            assert squeezed(LABELS[language]["quantity"] + LABELS[language]["quantity_hint"]) in squeezed(text)
            assert squeezed(
                LABELS[language]["page"].replace("{n}", str(n)).replace("{m}", str(len(texts)))
            ) in squeezed(text)
            assert sample.HEADER.number in text

    def test_says_what_is_due_and_when(self, language):
        total = sample.document().total_fen
        open_invoice = sample.document(settled_micros=0, due_fen=total, due_date=date(2026, 12, 20))

        text = squeezed("".join(pages(pdf.render(open_invoice, language))))

        t = LABELS[language]
        assert squeezed(t["due"]) + pdf.SYMBOL[language] + grouped(open_invoice.due) in text
        assert squeezed(t["due_date"]) + {"zh": "2026-12-20", "en": "20Dec2026"}[language] in text
        assert squeezed(t["nothing_due"]) not in text
        assert squeezed(t["nothing_due"]) in squeezed("".join(pages(pdf.render(sample.document(), language))))

    def test_shows_hostile_text_as_it_is(self, language):
        hostile = (
            '#import "evil.typ": * #panic("x")',
            "*bold* _it_ $x^2$ `raw` <label> @ref [x] \\ // no /* no */ ~ -- ...",
            "=cmd()",
            '{"d": 1} \\u{41} {n} {m}',
            "W" * 400,
            "é" * 300,
            "海" * 400,
        )
        figures = sample.document(2, notes=hostile, buyer=replace(sample.BUYER, name=hostile[0], address="X" * 90))
        lines = tuple(replace(line, product="P" * 60, provider=hostile[1]) for line in figures.lines)

        document = pdf.render(replace(figures, lines=lines), language)

        text = squeezed("".join(pages(document)))
        for shown in (*hostile, "P" * 60, "X" * 90):
            assert squeezed(shown) in text
        assert _rightmost(document) <= 210 / 25.4 * 72 - 14 / 25.4 * 72 + 1

    def test_is_the_same_bytes_on_every_run(self, language):
        first = pdf.render(sample.document(), language)
        other = pdf.render(sample.document(3), language)

        assert pdf.render(sample.document(), language) == first != other

    def test_embeds_its_fonts_and_says_it_is_archival(self, language):
        reader = PdfReader(io.BytesIO(pdf.render(sample.document(), language)))

        fonts = {
            font.get_object()["/BaseFont"].split("+")[1]
            for page in reader.pages
            for font in page["/Resources"]["/Font"].values()
        }
        assert fonts == {"NotoSansSC-Regular", "NotoSansSC-Bold"}
        xmp = reader.trailer["/Root"]["/Metadata"].get_object().get_data().decode()
        assert "<pdfaid:part>2</pdfaid:part>" in xmp
        assert "<pdfaid:conformance>B</pdfaid:conformance>" in xmp
        assert reader.metadata.title.endswith(sample.HEADER.number)
        assert reader.metadata.creation_date.isoformat() == "2026-12-04T01:30:00+00:00"

    def test_stops_at_a_character_it_cannot_show(self, language):
        figures = sample.document(buyer=replace(sample.BUYER, name="北京😀𠮷有限公司"), notes=("\u202egnp.exe",))

        with pytest.raises(MissingGlyphs) as caught:
            pdf.render(figures, language)

        assert caught.value.characters == ("\u202e", "😀", "𠮷")
        assert "U+1F600" in str(caught.value)


class TestGlyphs:
    def test_cover_the_rare_characters_of_names(self):
        glyphs.refuse_missing(["镕堃喆翀玥", "Müller Đặng ΑΒΓ Москва", "¥€£–—…·×÷≤℃"])

    def test_cover_every_word_of_the_documents_in_bold_too(self):
        for words in LABELS.values():
            glyphs.refuse_missing(words.values())
            glyphs.refuse_missing(words.values(), glyphs.BOLD)

    def test_are_the_same_phrases_in_both_languages(self):
        assert LABELS["zh"].keys() == LABELS["en"].keys()

    def test_cover_no_invisible_character(self):
        for character in ("\u202e", "\u200b", "\x00", "\ue000"):
            assert unicodedata.category(character) in glyphs.INVISIBLE
            with pytest.raises(MissingGlyphs):
                glyphs.refuse_missing([character])


def _rightmost(document: bytes) -> float:
    """The largest x at which a piece of text begins, over all pages, in points."""
    found = [0.0]

    def note(text, cm, tm, _font, _size):
        if text.strip():
            found.append(tm[4] * cm[0] + cm[4])

    for page in PdfReader(io.BytesIO(document)).pages:
        page.extract_text(visitor_text=note)
    return max(found)


def test_an_instant_with_microseconds_prints():
    figures = replace(sample.document(1), issued_at="2026-11-24T10:18:25.526094Z")

    assert pages(pdf.render(figures, "en"))
