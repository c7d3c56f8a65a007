"""Budgets, and the planner that finds the network of a law that spends one best."""

from convscale.planning.budget import Budget, format_limit, read_budget
from convscale.planning.families import Family, FamilyMember, family
from convscale.planning.planner import Plan, Proposal, plan
from convscale.planning.resolution import plan_resolution

__all__ = [
    "Budget",
    "Family",
    "FamilyMember",
    "Plan",
    "Proposal",
    "family",
    "format_limit",
    "plan",
    "plan_resolution",
    "read_budget",
]
