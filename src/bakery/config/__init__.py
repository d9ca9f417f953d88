"""bakery.yaml as people wrote it, read into frozen typed values. What becomes of it is the room `targets`."""
