"""Evaluation: how good a pack is, with intervals and nulls, as a page and as JSON."""
