"""The two engines of a publish: the native one, and one that drives oras and soci."""
