"""What bakery.yaml may contain: declarations, and the reader that checks a document against them."""
