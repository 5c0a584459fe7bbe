"""How fast the project's parts are: `python -m tools.benchmark --case=…`."""
