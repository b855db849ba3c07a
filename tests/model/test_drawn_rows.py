"""Files are often sorted: whoever reads the first rows of a split reads a sample all the same."""

import csv

from small import make_data, make_model

from edgepack.model.material import gather
from edgepack.plan.recipe import Recipe

_FEW = 24


def test_the_first_rows_of_a_sorted_file_are_of_all_its_labels(teacher_folder, tmp_path):
    folder = make_data(tmp_path)
    for path in folder.glob("*.csv"):
        head, *rows = csv.reader(path.open(newline=""))
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([head, *sorted(rows, key=lambda row: row[-1])])
    material = gather(Recipe(model=str(teacher_folder), data=str(folder)))
    for split in ("train", "dev"):
        assert {row.label for row in material.rows(split)[:_FEW]} == set(material.labels)
    assert [item.row for item in material.train] == list(range(len(material.rows("train"))))
    lines = [int(row.place.rpartition(":")[2]) for row in material.rows("test")]
    assert lines == sorted(lines)  # nobody reads a part of the test split
    again = gather(Recipe(model=str(teacher_folder), data=str(folder), seed=5))
    assert [row.text for row in again.rows("train")] == [row.text for row in material.rows("train")]


def test_blocks_of_running_text_are_drawn_and_hold_the_text_as_it_is(tmp_path):
    make_model(tmp_path / "model", "llama", "text-generation")
    words = ["please", "dim", "every", "lamp", "and", "turn", "the", "radio", "on", "before", "rain", "begins", "again", "tonight"]
    lines = [" ".join(words[(line + step) % len(words)] for step in range(12)) for line in range(200)]
    data = tmp_path / "data"
    data.mkdir()
    for split in ("train", "dev", "test"):
        (data / f"{split}.txt").write_text("\n".join(lines), encoding="utf-8")
    material = gather(Recipe(model=str(tmp_path / "model"), data=str(data), task="text-generation"))
    in_order = material.encoded(material.rows("train"))
    assert [row.text for row in material.rows("train")] == lines
    assert material.train != in_order and sorted(item.ids for item in material.train) == sorted(item.ids for item in in_order)
    assert [item.row for item in material.train] == list(range(len(in_order)))
