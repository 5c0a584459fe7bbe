"""The job that makes a dataset from KuaiSAR's logs.

Its modules in the order in which data flows; none imports a later one:

    reader      reads a piece of a file and checks each row
    parse       checks a piece's values; rows of fixed size
    repeats     finds repeated clicks, and session ids that two users have
    group       groups rows into behaviors
    logs        reads all files in several processes and lists malformed rows
    tables      vocabularies, dense ids and features of kept users and items
    local, beam the job's engines: processes of one machine, Apache Beam
    build       the job
"""

from pipelines.kuaisar.build import build_dataset

__all__ = ["build_dataset"]
