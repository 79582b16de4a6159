"""Code generated from proto/vagus/v1."""
