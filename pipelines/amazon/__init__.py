"""The job that makes a dataset from Amazon reviews and metadata.

Its modules in the order in which data flows; none imports a later one:

    reader      reads a piece of a file and checks each row
    category_queries    makes queries of an item's categories
    group       groups reviews by user
    ranges      pieces of a file for the workers of a Beam pipeline
    logs        reads both files in several processes and lists malformed rows
    records     the record of each user
    tables      vocabularies and queries
    local, beam    the engines: processes of one machine, Beam pipelines
    build       the job
"""

from pipelines.amazon.build import build_dataset

__all__ = ["build_dataset"]
