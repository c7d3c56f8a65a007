"""Trials: one training, many times, on this machine or on a cluster."""
