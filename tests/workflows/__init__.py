"""The workflows and actions that users call, run here: every `run:` in order, with a runner's files and variables."""
