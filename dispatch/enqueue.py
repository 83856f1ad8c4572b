"""Names of this app's tasks."""

CLOSE_STALE = "dispatch.close_stale"
OBSERVE_SATURATION = "dispatch.observe_saturation"
