"""The pure part of metering: what an event is, and what makes two of them the same."""
