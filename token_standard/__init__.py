"""Standard tokens (ST): what a model's tokens cost, in exact arithmetic and without any framework."""
