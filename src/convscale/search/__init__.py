"""What to try next, over any callable: questions and their ledger; alpha, beta and gamma; architectures."""
