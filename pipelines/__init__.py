"""Jobs that turn raw logs into a dataset folder, and their common parts."""
