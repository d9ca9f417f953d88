"""The heart: from build results to published tags. Knows engines by their protocol, not how bytes travel."""
