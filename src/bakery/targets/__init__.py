"""What a project builds and publishes: targets, their selection and order, and build metadata files."""
