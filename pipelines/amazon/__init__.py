"""The job that makes a dataset from Amazon reviews and metadata."""

from pipelines.amazon.build import build_dataset

__all__ = ["build_dataset"]
