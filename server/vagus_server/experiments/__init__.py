"""Experiments against a running server, through its public API; nothing here serves."""
