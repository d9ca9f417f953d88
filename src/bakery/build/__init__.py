"""Builds with buildx: what is built, the command lines, the run, and what became of each target."""
