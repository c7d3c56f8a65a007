"""int8: a network in numbers of eight bits, behind a gate that measures what they cost on held-out images."""
