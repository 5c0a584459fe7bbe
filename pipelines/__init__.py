"""Jobs that turn raw logs into a dataset folder, and what they share."""
