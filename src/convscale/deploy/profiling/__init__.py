"""Profiles: networks timed on this machine, and the numbers that predict the latency of others from them."""
