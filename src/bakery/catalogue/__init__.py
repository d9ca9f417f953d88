"""Texts for the error codes of Bakery: what each means, why it happens, what to do. `bakery.errors` has the codes."""
