"""Pure rules of offers: which windows, how much, at what limit."""
