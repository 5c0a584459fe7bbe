"""A small object store for Apache Beam: names and contents, no folders."""

import io

import pytest

pytest.importorskip("apache_beam", reason="Apache Beam is not installed ([beam])")

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata
from apache_beam.io.localfilesystem import LocalFileSystem

from sar_tf.paths import as_path, copy_bytes, find_paths, remove_tree

OBJECTS = {}


class Upload(io.BytesIO):
    def __init__(self, url):
        super().__init__()
        self.url = url

    def close(self):
        OBJECTS[self.url] = self.getvalue()
        super().close()


class Store(LocalFileSystem):
    """Has the methods that Beam's s3:// has; none of local files is left."""

    @classmethod
    def scheme(cls):
        return "store"

    def has_dirs(self):
        return False

    def _list(self, prefix):
        for url, content in list(OBJECTS.items()):
            if url.startswith(prefix):
                yield FileMetadata(url, len(content))

    def metadata(self, url):
        return FileMetadata(url, len(OBJECTS[url]))

    def exists(self, url):
        return url in OBJECTS

    def open(self, url, mime_type, compression_type):
        assert compression_type == CompressionTypes.UNCOMPRESSED
        if url not in OBJECTS:
            raise BeamIOError(f"no {url}")
        return io.BytesIO(OBJECTS[url])

    def create(self, url, mime_type, compression_type):
        return Upload(url)

    def delete(self, urls):
        for url in urls:
            del OBJECTS[url]

    def rename(self, urls, targets):
        for url, target in zip(urls, targets, strict=True):
            assert target not in OBJECTS
            OBJECTS[target] = OBJECTS.pop(url)


def test_an_object_store_that_tensorflow_does_not_know(tmp_path):
    folder = as_path("store://bucket/data")
    assert not folder.exists()
    folder.mkdir()
    (folder / "a" / "x.csv.gz").write_bytes(b"\x1f\x8bpacked")  # Stays packed.
    (folder / "a" / "y.csv").write_text("first\nsecond\n")
    (folder / "b.csv").write_text("old")
    assert folder.is_dir() and not folder.is_file() and (folder / "b.csv").is_file()
    assert (folder / "a" / "x.csv.gz").read_bytes() == b"\x1f\x8bpacked"
    assert (folder / "a" / "y.csv").stat().st_size == 13
    with (folder / "a" / "y.csv").open("rb") as file:
        file.seek(2)
        assert (file.readline(), file.tell()) == (b"rst\n", 6)
    assert sorted(folder.iterdir()) == [folder / "a", folder / "b.csv"]
    assert find_paths(folder / "a" / "*.csv") == [folder / "a" / "y.csv"]
    (folder / "a" / "y.csv").replace(folder / "b.csv")
    assert (folder / "b.csv").read_text() == "first\nsecond\n"
    copy_bytes(folder / "b.csv", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "first\nsecond\n"
    assert sorted(OBJECTS) == ["store://bucket/data/a/x.csv.gz", f"{folder / 'b.csv'}"]
    remove_tree(folder)
    remove_tree(folder)
    assert not OBJECTS
    with pytest.raises(OSError, match=r"no store://bucket/data/b\.csv"):
        (folder / "b.csv").read_bytes()
