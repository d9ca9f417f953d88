"""Running things side by side: jobs (the scheduler), root (what a signal ends)."""
