"""The command line: parses, calls, prints. No logic: all it calls can be called from a test with values."""
