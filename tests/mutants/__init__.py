"""Mutation tests: change one thing in a function, run the tests that reach it, and expect one of them to fail.

`make mutants` runs all rooms, `make mutants MUTANTS="oci registry"` some of them. A mutation that no test notices must
be listed with a reason in survivors.toml. It knows nothing of Bakery but the table in rooms.py.
"""
