"""The market over REST: the same as its pages."""
