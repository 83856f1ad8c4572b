"""Estimates of what a deployment needs for a load, in seconds: physics, a bounded learned correction, intervals.

Reading the shipped model takes the standard library only; :mod:`token_standard.learned.training` needs numpy and
scikit-learn. An estimate quotes and ranks; it never values usage, which is exact and by card.
"""

from token_standard.learned.devices import Device, device
from token_standard.learned.formats import served_format
from token_standard.learned.predict import Prediction, predict
from token_standard.learned.prefer import Candidate, Preference, prefer
from token_standard.learned.shapes import shape
from token_standard.learned.terms import Deployment, Load

__all__ = [
    "Candidate",
    "Deployment",
    "Device",
    "Load",
    "Prediction",
    "Preference",
    "device",
    "predict",
    "prefer",
    "served_format",
    "shape",
]
