"""The two ways to do what a publish needs: natively, and by driving other programs."""
