"""Fitting the cost model from public measurements: ``python -m token_standard train``. Needs numpy and scikit-learn."""
