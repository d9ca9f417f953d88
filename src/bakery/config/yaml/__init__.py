"""YAML parsed with the place of every value, and the problems found in it."""
