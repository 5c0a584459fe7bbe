"""A hand-made log of ten rows in every format."""

import csv
import gzip
import io
import json

import pandas as pd
import pytest

pytest.importorskip("pyarrow")

SHOP = """\
user,time,type,item,query,clicked_items
ann,2024-05-01 09:00,search,,red shoes,p1 p2
ann,2024-05-01 09:05,click,p3,,
ann,2024-05-02 18:30,click,p4,,
ann,2024-05-03 08:15,search,,"rain coat, blue",p4
bob,2024-05-01 12:00,click,p1,,
bob,2024-05-02 12:30,search,,Running Shoes,p2
bob,2024-05-02 12:45,click,p5,,
bob,2024-05-03 20:00,click,p1,,
cem,2024-05-01 07:00,click,p2,,
cem,2024-05-02 07:30,search,,coat,p6
"""
ITEMS = """\
item_id,brand,price,tags,title
p1,acme,10,red|shoe,Red shoe
p2,acme,20,shoe,Shoe of ACME
p3,bolt,30,,
p4,bolt,,blue|coat|rain,Rain coat
p5,,50,coat,Coat
p9,acme,60,red,Never clicked
"""
ITEM_COLUMNS = {
    "items.categorical": "brand",
    "items.numeric": "price",
    "items.multi": "tags",
    "items.caption": "title",
    "items.buckets": 2,
}


def rows(text: str = SHOP) -> list[dict]:
    return list(csv.DictReader(io.StringIO(text)))


def write_as(folder, name: str, text: str):
    """Writes a table of CSV in the format that the file's name tells."""
    path = folder / name
    if ".csv" in name:
        data = text.encode()
    elif ".tsv" in name:
        data = pd.read_csv(io.StringIO(text), dtype=str).to_csv(sep="\t", index=False)
        data = data.encode()
    elif ".jsonl" in name:
        lines = []
        for row in rows(text):
            row = {key: value or None for key, value in row.items()}
            if row.get("clicked_items"):
                row["clicked_items"] = row["clicked_items"].split()
            lines.append(json.dumps(row))
        data = "\n".join(lines).encode()
    else:
        frame(text).to_parquet(path)
        return path
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def frame(text: str = SHOP) -> pd.DataFrame:
    """The table with times and lists in types of their own."""
    table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    if "time" in table:
        table["time"] = pd.to_datetime(table["time"])
        table["clicked_items"] = [text.split() for text in table["clicked_items"]]
    return table
