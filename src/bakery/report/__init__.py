"""Plan, outcome and events as text. Rendering is pure; only `cli` and this package print."""
