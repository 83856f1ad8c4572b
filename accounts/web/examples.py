"""The first calls of a program, in curl, Python and the command line."""

from __future__ import annotations

Tabs = list[tuple[str, str]]  # label, code


def examples(url: str) -> tuple[Tabs, Tabs]:
    """How to buy, and how to call; `url` is the site's address without a slash at its end."""
    return _buy(url), _call(url)


def _buy(url: str) -> Tabs:
    curl = (
        f"curl {url}/api/v1/orders \\\n"
        '  -H "Authorization: Bearer $TOKENSPOT_KEY" -H "Idempotency-Key: $(uuidgen)" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        '  -d \'{"side": "buy", "line": "llama-3-8b", "grade": "interactive",\n'
        '       "quantity_st": "2000000", "price_per_million": "3.00"}\''
    )
    python = (
        "from tokenspot_client import Client\n\n"
        f'client = Client("{url}")  # reads TOKENSPOT_KEY\n'
        'order = client.post("/orders", {"side": "buy", "line": "llama-3-8b", "grade": "interactive",\n'
        '                                "quantity_st": "2000000", "price_per_million": "3.00"})\n'
        'print(order["id"], order["status"])'
    )
    command = (
        f"export TOKENSPOT_URL={url} TOKENSPOT_KEY=tsk_...\n"
        "tokenspot lines\n"
        "tokenspot buy 2M --line llama-3-8b --grade interactive --max 3.00\n"
        "tokenspot orders\n"
        "tokenspot invoices"
    )
    return [("curl", curl), ("Python", python), ("CLI", command)]


def _call(url: str) -> Tabs:
    curl = (
        f"curl -N {url}/v1/chat/completions \\\n"
        "  -H \"Authorization: Bearer $TOKENSPOT_KEY\" -H 'Content-Type: application/json' \\\n"
        '  -d \'{"model": "llama-3-8b", "stream": true, "max_tokens": 64,\n'
        '       "messages": [{"role": "user", "content": "Hello"}]}\''
    )
    python = (
        "import os\nfrom openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{url}/v1", api_key=os.environ["TOKENSPOT_KEY"])\n'
        "for chunk in client.chat.completions.create(\n"
        '        model="llama-3-8b", stream=True, max_tokens=64,\n'
        '        messages=[{"role": "user", "content": "Hello"}]):\n'
        "    if chunk.choices:\n"
        '        print(chunk.choices[0].delta.content or "", end="")'
    )
    return [("curl", curl), ("Python", python)]
