"""Packs: versioned, checksummed sets of concepts for one model."""
