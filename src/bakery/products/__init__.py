"""Product APIs that say which versions there are: fetching, with a cache and a replay; the products; the answers."""
