"""Pure parts of the gateway: reading requests, reading engines' streams, counting, answering."""
