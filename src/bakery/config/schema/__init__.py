"""The schema of bakery.yaml: its declarations, and the reader that checks a document against them."""
