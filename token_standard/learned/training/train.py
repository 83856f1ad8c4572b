"""The one reproducible command: samples in, ``model.json`` and the figures of docs/cost-model.md out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from token_standard.learned import estimator
from token_standard.learned.training import fits, report, samples

MODEL = Path(estimator.__file__).parent / "model.json"


def train(folder: Path, *, say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Fit on everything, with intervals and figures from honest folds. Deterministic on one machine."""
    with threadpool_limits(limits=1):
        served, static, layers = samples.serving(folder), samples.static(folder), samples.layers(folder)
        plain = fits.fit(served, static, layers)
        card, spreads = report.figures(served, static, layers, say=say)
        for name, spread in spreads.items():
            plain["fits"][name]["spread"] = spread
        plain["card"] = {"data": samples.digests(folder), **card}
    return plain


def text(plain: dict[str, Any]) -> str:
    """The file's text: one line a tree, keys sorted, so that two trainings can be compared."""
    blank = json.loads(json.dumps(plain))
    lines: list[str] = []
    for fitted in blank["fits"].values():
        for name in ("trees", "unnamed"):
            for index, tree in enumerate(fitted.get(name, {}).get("trees", ())):
                fitted[name]["trees"][index] = f"@{len(lines)}@"
                lines.append(json.dumps(tree, separators=(",", ":")))
    whole = json.dumps(blank, indent=1, sort_keys=True)
    for index, line in enumerate(lines):
        whole = whole.replace(f'"@{index}@"', line, 1)
    return whole + "\n"
