"""Pages of metering: what the meters counted, and disputes about it."""
