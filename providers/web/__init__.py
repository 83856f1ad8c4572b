"""Pages of the provider: offers and hardware."""
