"""The provider's agent: counts what an engine serves, keeps it on disk, and reports it signed. See docs/agent.md."""

VERSION = "0.1.0"
