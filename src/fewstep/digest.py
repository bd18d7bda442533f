"""Short fingerprints of plain values."""

import hashlib
import json


def digest(value: object, *, sort_keys: bool = False) -> str:
    """16 hexadecimal digits that change with anything in `value`, whatever JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=sort_keys).encode()).hexdigest()[:16]
