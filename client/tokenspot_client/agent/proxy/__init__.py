"""An HTTP proxy in front of an OpenAI-compatible engine: passes everything on, and counts what it answers."""
