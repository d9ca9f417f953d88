"""Cleaning repositories: what is deleted, what is kept and why, and the deleting. Deciding is pure; `place` acts."""
