"""What the jobs share: flags, progress, malformed rows, vocabularies, the writer."""
