"""Which names of concepts are allowed: they end in metrics, logs, messages and tables."""

import re
import unicodedata

#: A letter, digit or underscore of any script, then up to 63 of these, spaces, dots, hyphens.
_CONCEPT = re.compile(r"\w[\w .-]{0,63}")


def is_concept_name(name: str) -> bool:
    """Whether a concept may be called so: `calm`, `on edge`, `grief-stricken`, `gelassen`."""
    return (
        _CONCEPT.fullmatch(name) is not None
        and name == name.rstrip()
        and unicodedata.is_normalized("NFC", name)
    )
