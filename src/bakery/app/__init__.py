"""One function for each command: request in, outcome out. What a library user would call."""
