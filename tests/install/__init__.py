"""Installing Bakery as its users do: outside of the checkout, by every installer that the documentation names."""
