"""Built-in plugins: thin, they join rooms that do not know each other."""
