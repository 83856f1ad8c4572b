"""The JSON of an invoice: its figure set with the digest that the printed code begins. Decimals are strings."""

import json

from billing.documents.figures import DocumentFigures


def render(figures: DocumentFigures) -> bytes:
    """`verification` is SHA-256 of `figures` as canonical JSON: keys sorted, no spaces, UTF-8."""
    body = {
        "figures": figures.as_dict(),
        "verification": figures.digest,
        "verification_code": figures.verification_code,
    }
    return (json.dumps(body, ensure_ascii=False, indent=2) + "\n").encode()
