"""Reports: what records say, as tables and text for people."""
