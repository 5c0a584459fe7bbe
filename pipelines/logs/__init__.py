"""The job that makes a dataset from anybody's tables of events, items and users.

Its modules in the order in which data flows; none imports a later one:

    settings    what the user says about the tables
    clock       times
    columns     finds the columns of a table
    files       finds the files of a table and cuts them into pieces
    rows        reads values and finds malformed rows
    reader      reads a piece into rows
    events      rows of events, laid out on disk by user
    features    features of items and users
    group       groups rows into behaviors
    sources     finds the files and columns of all tables
    logs        reads all tables in several processes and lists malformed rows
    tables      vocabularies, dense ids and features of kept users and items
    days        the split
    beam_events, beam_parts     steps of Beam pipelines
    local, beam the engines: processes of one machine, Beam pipelines
    build       the job
    frames      the job from pandas
    describe    what the job understands of the first rows
"""

from pipelines.logs.build import build_dataset
from pipelines.logs.frames import write_dataset

__all__ = ["build_dataset", "write_dataset"]
