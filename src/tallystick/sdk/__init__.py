"""Python client; verifies what it is told."""
