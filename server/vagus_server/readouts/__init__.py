"""Readouts: what a request selects, and how the numbers become messages."""
