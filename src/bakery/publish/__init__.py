"""From build results to published tags. Knows engines only by their protocol, not how bytes travel."""
