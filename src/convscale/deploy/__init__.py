"""Deployment: what a network takes, and gives, on the device where it ends up."""
