"""Containerfile templates and macros, for editing commands to come: no command renders them yet."""
