"""The job that makes a dataset from KuaiSAR's logs.

Its modules in the order in which data flows; none imports a later one:

    reader      reads a piece of a file and checks each row
    split       checks a piece's values and lays its rows out on disk, by user
    repeats     finds repeated clicks, and session ids that two users have
    logs        reads all files in several processes and lists malformed rows
    group       groups rows into behaviors
    tables      vocabularies, dense ids and features of kept users and items
    build       the job
"""

from pipelines.kuaisar.build import build_dataset

__all__ = ["build_dataset"]
