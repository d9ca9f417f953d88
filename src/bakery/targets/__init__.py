"""What will be published: targets, their order, which of them are meant, and what build metadata says about them."""
