"""Common parts of the jobs: flags, progress, malformed rows, vocabularies, writer."""
