"""Rating a deployment: two shapes of requests at load against a live engine, and what they say of it."""
