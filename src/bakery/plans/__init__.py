"""Where a plan comes from: a module for each origin. Nothing after the plan knows which it was."""
