"""bakery.yaml, read and checked into frozen values. `targets` expands it into what is built and published."""
