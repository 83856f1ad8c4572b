"""Make the two font files of this folder; README.md says when and how.

python subset.py FOLDER    FOLDER = the unpacked npm package
"""

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
LATIN_AND_SIGNS = (
    *range(0x20, 0x7F),
    *range(0xA0, 0x250),  # Latin 1 to Latin Extended-B
    *range(0x370, 0x460),  # Greek, Cyrillic
    *range(0x1E00, 0x1F00),
    *range(0x2000, 0x2070),
    *range(0x20A0, 0x20D0),  # currency signs
    *range(0x2100, 0x2150),
    *range(0x2190, 0x21A0),
    *range(0x2200, 0x2300),
    *range(0x9FA6, 0xA000),  # Han characters younger than GBK
)


def characters(codec: str) -> set[int]:
    """Every character that two bytes of a Chinese character set can name."""
    found: set[int] = set()
    for lead in range(0x81, 0xFF):
        for trail in range(0x40, 0xFF):
            try:
                found.update(map(ord, bytes([lead, trail]).decode(codec)))
            except UnicodeDecodeError:
                continue
    return {c for c in found if not 0xE000 <= c <= 0xF8FF}


def subset(source: Path, codec: str, target: Path) -> None:
    wanted = sorted(characters(codec) | set(LATIN_AND_SIGNS))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listing:
        listing.write("\n".join(f"{c:04X}" for c in wanted))
        listing.flush()
        subprocess.run(
            [
                *("pyftsubset", source, f"--unicodes-file={listing.name}", f"--output-file={target}"),
                *("--layout-features=kern,locl,ccmp,mark,mkmk", "--no-hinting", "--name-IDs=*"),
            ],
            check=True,
        )


if __name__ == "__main__":
    package = Path(sys.argv[1])
    subset(package / "400Regular/NotoSansSC_400Regular.ttf", "gbk", HERE / "NotoSansSC-Regular.ttf")
    subset(package / "700Bold/NotoSansSC_700Bold.ttf", "gb2312", HERE / "NotoSansSC-Bold.ttf")
