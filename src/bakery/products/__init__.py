"""Product APIs, which know the versions that bakery.yaml does not list: fetching, caching, and what responses mean."""
