"""The charts of reports: each one function from a record to a figure with its numbers."""
