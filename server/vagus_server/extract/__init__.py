"""Extraction: from labelled texts and a model to a pack, at the speed of the engine."""
