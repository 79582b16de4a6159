"""Concepts that can be named or sent: the pack's, a tenant's own, and a request's inline ones."""
