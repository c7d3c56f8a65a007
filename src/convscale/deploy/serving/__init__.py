"""A network that answers requests over HTTP."""
