"""Figures: speed, requests and memory against peers, side by side in one run. Never asserted in tests."""
