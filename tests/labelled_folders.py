"""Sets of labelled images as a user has them: a folder for each class, and a table."""

import csv

import numpy as np

from emotion_gcn_jax.faces.pictures import encode_png


def write_class_folders(root, words, count=2):
    """`count` pictures of noise for each class, root/WORD/NUMBER.png."""
    rng = np.random.default_rng(0)
    for word in words:
        (root / word).mkdir(parents=True)
        for number in range(count):
            (root / word / f"{number}.png").write_bytes(encode_png(rng.integers(0, 256, (40, 40, 3), np.uint8)))
    return root


def write_table(root, rows):
    """root/labels.csv of rows (dicts without their path), and a picture of noise for each."""
    rng = np.random.default_rng(1)
    root.mkdir(parents=True)
    with (root / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", *rows[0]])
        writer.writeheader()
        for number, row in enumerate(rows):
            (root / f"{number}.png").write_bytes(encode_png(rng.integers(0, 256, (40, 40, 3), np.uint8)))
            writer.writerow({"path": f"{number}.png", **row})
    return root / "labels.csv"


def damaged_table(root):
    """A table of six pictures from two sites: 1 is cut off, 4 is gone, 5 is a text."""
    rows = [{"expression": word, "site": site} for word, site in zip(["Happy", "Sad"] * 3, "nsnsns", strict=True)]
    table = write_table(root, rows)
    (root / "1.png").write_bytes((root / "1.png").read_bytes()[:900])
    (root / "4.png").unlink()
    (root / "5.png").write_text("no picture")
    return table


def without_damaged(table):
    """Takes the three out of the table of `damaged_table`."""
    table.write_text("\n".join(line for line in table.read_text().splitlines() if line[0] not in "145"))
