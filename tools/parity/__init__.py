"""How far a model is from the official code: `python -m tools.parity`."""
