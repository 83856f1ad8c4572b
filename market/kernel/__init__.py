"""Pure parts of the market: no Django, no clock, no chance."""
