"""Translations without gettext's programs: `python -m config.messages` reads new words, and compiles.

Templates are read through Django's own template-to-Python step, Python sources
through their syntax tree, and the catalogue is kept by Babel.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"
_APPS = ("accounts", "ledger", "market", "providers", "metering_ingest", "dispatch", "billing", "config")
_CALLS = {"gettext", "gettext_lazy", "_", "ngettext", "ngettext_lazy", "pgettext", "gettext_noop"}
_IN_TEMPLATE = re.compile(r"\b(gettext|_|ngettext|pgettext)\((?=\s*u?['\"])")

Word = tuple[str, ...]  # (singular,) or (singular, plural)


def words() -> dict[Word, list[tuple[str, int]]]:
    """Every word for translation, with the places where it stands."""
    found: dict[Word, list[tuple[str, int]]] = {}
    for path, line, word in [*_from_templates(), *_from_python()]:
        found.setdefault(word, []).append((str(path.relative_to(ROOT)), line))
    return found


def _from_templates() -> Iterator[tuple[Path, int, Word]]:
    from django.utils.translation.template import templatize

    for path in sorted((ROOT / "templates").rglob("*.*")):
        if path.suffix in {".html", ".txt"}:
            source = templatize(path.read_text(encoding="utf-8"))
            for match in _IN_TEMPLATE.finditer(source):
                line = source.count("\n", 0, match.start()) + 1
                yield path, line, _literals(source[match.start() :], match[1])


def _literals(source: str, name: str) -> Word:
    """The string literals that open a call's arguments."""
    wanted = 2 if name == "ngettext" else 1
    rest, found = source[len(name) + 1 :], list[str]()
    while len(found) < wanted:
        match = re.match(r"\s*,?\s*(u?(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'))", rest, re.DOTALL)
        assert match, source[:80]
        found.append(ast.literal_eval(match[1].lstrip("u").replace("\n", "\\n")))
        rest = rest[match.end() :]
    return tuple(found)


def _from_python() -> Iterator[tuple[Path, int, Word]]:
    for app in _APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and (name := _name(node.func)) in _CALLS and node.args:
                    count = 2 if name.startswith("ngettext") else 1
                    literals = [a.value for a in node.args[:count] if isinstance(a, ast.Constant)]
                    if len(literals) == count and all(isinstance(text, str) for text in literals):
                        yield path, node.lineno, tuple(literals)  # type: ignore[arg-type]


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def catalogue() -> Catalog:
    """The Chinese catalogue as it stands."""
    with CATALOGUE.open("rb") as file:
        return read_po(file, locale="zh_Hans", domain="django")


def update() -> list[str]:
    """Bring the catalogue in line with the sources; gives the words that want a translation."""
    old = catalogue() if CATALOGUE.exists() else Catalog(locale="zh_Hans")
    new = Catalog(locale="zh_Hans", domain="django", project="tokenspot", fuzzy=False)
    for word, places in sorted(words().items()):
        message_id = word if len(word) == 2 else word[0]
        kept = old.get(message_id if len(word) == 1 else word[0])
        files = sorted({(name, 0) for name, _ in places})
        flags = {"python-brace-format"} if "{" in word[0] and "%(" not in word[0] else set()
        new.add(message_id, kept.string if kept else None, locations=files, flags=flags)
    CATALOGUE.parent.mkdir(parents=True, exist_ok=True)
    with CATALOGUE.open("wb") as file:
        write_po(file, new, width=120, include_lineno=False, sort_output=True)
    return [str(m.id) for m in new if m.id and not (all(m.string) if isinstance(m.string, tuple) else m.string)]


def compile_catalogue() -> None:
    """Write the binary catalogue that Django reads, when it is older than its source."""
    binary = CATALOGUE.with_suffix(".mo")
    if CATALOGUE.exists() and (not binary.exists() or binary.stat().st_mtime < CATALOGUE.stat().st_mtime):
        # Written aside and moved into place: another process may be reading, or writing the same.
        aside = binary.with_suffix(f".{os.getpid()}")
        with aside.open("wb") as file:
            write_mo(file, catalogue())
        aside.replace(binary)


if __name__ == "__main__":
    from django.conf import settings

    settings.configure(USE_I18N=True)
    missing = update()
    compile_catalogue()
    print(f"{len(words())} words, {len(missing)} without a Chinese translation")
    sys.stdout.writelines(f"  {word!r}\n" for word in missing)
