"""Budgets, and the planner that finds the network of a law that spends one best."""

from convscale.planning.budget import Budget, format_limit
from convscale.planning.planner import Plan, Proposal, plan

__all__ = ["Budget", "Plan", "Proposal", "format_limit", "plan"]
