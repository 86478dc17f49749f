"""Text files are read as they are: whatever packs, encodes or divides them."""

import bz2
import gzip
import json
import lzma

import pytest

from recipes.core.data.tables import TableReader
from recipes.core.errors import UserError


def read(folder, name, content, **settings):
    """The rows of a file with this content, a text or bytes."""
    raw = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(raw)
    return TableReader(**settings).read([folder / name]).to_list()


CSV = "question,answer\nGröße?,é\n"
ROW = [{"question": "Größe?", "answer": "é"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV),
        ("a.csv", CSV.encode("utf-8-sig")),  # Excel's mark
        ("a.csv", CSV.encode("utf-16")),
        ("a.csv", CSV.encode("utf-32")),
        ("a.csv", CSV.encode("cp1252")),
        ("a.csv", CSV.replace("\n", "\r\n")),
        ("a.csv", CSV.replace(",", ";")),
        ("a.csv", CSV.replace(",", "\t")),
        ("a.csv", CSV.replace(",", "|")),
        ("a.tsv", CSV.replace(",", "\t")),
        ("a.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("a.csv.bz2", bz2.compress(CSV.encode())),
        ("A.CSV.XZ", lzma.compress(CSV.encode("cp1252"))),
        ("a.jsonl", '{"question": "Größe?", "answer": "é"}'),  # without a last line break
        ("a.jsonl", '\ufeff{"question": "Größe?", "answer": "é"}\r\n\r\n'),
        ("a.jsonl.gz", gzip.compress('{"question": "Größe?", "answer": "é"}\n'.encode(), mtime=0)),
        ("a.json", '{"question": "Größe?", "answer": "é"}\n'),  # JSON lines all the same
        ("a.json", '[{"question": "Größe?",\n "answer": "é"}]'),
        ("a.json", '{\n"question": ["Größe?"],\n "answer": ["é"]\n}'),  # an object of columns
        ("a.json", '{\n"question": "Größe?",\n "answer": "é"\n}'),  # one row on several lines
    ],
)
def test_the_same_row_is_read_from_every_kind_of_text(tmp_path, name, content):
    assert read(tmp_path, name, content) == ROW


@pytest.mark.parametrize(
    ("content", "settings"),
    [
        ("question:answer\nGröße?:é\n", {"delimiter": ":"}),
        ("question\tanswer\nGröße?\té\n", {"delimiter": "\\t"}),  # as a shell passes it
        (CSV.encode("utf-16-le"), {"encoding": "utf-16-le"}),
        (CSV.encode("utf-8-sig"), {"encoding": "utf-8"}),  # with the mark nevertheless
    ],
)
def test_what_the_recipe_writes_is_not_guessed(tmp_path, caplog, content, settings):
    assert read(tmp_path, "a.csv", content, **settings) == ROW
    assert not caplog.text


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (CSV.encode("latin-1"), "is not UTF-8 and is read as cp1252, which gives 'Größe'"),
        (CSV.replace(",", ";"), "fields are divided by ';', as in its header"),
    ],
)
def test_a_guess_is_said(tmp_path, caplog, content, word):
    read(tmp_path, "a.csv", content)
    assert word in caplog.text


def test_what_is_quoted_in_the_header_divides_nothing(tmp_path):
    (row,) = read(tmp_path, "a.csv", '"a; b; c",answer\n1,x\n')
    assert row == {"a; b; c": 1, "answer": "x"}


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["NA", "null", "None", "nan", "N/A"], ["NA", "null", "None", "nan", "N/A"]),
        (["007", "010", "100"], ["007", "010", "100"]),  # codes
        (["1", "2", "-3"], [1, 2, -3]),  # written again, these are what the file has
        (["1", "", "3"], [1, None, 3]),
        (["1.5", "0.25"], [1.5, 0.25]),
        (["1.50", "2.5"], ["1.50", "2.5"]),
        (["1", "2.5"], ["1", "2.5"]),
        (["1e5", "3"], ["1e5", "3"]),
        (["True", "False"], ["True", "False"]),
        (["2024-05-01"], ["2024-05-01"]),
        (["inf", "1.0"], ["inf", "1.0"]),
        ([str(2**64)], [str(2**64)]),
    ],
)
def test_a_cell_of_a_csv_is_a_text_unless_it_is_the_same_as_a_number(tmp_path, cells, values):
    lines = "".join(f"x,{cell}\n" for cell in cells)
    assert [row["answer"] for row in read(tmp_path, "a.csv", f"q,answer\n{lines}")] == values


@pytest.mark.parametrize(
    ("golds", "path", "values"),
    [
        (["2024-05-01", "2024-05-02T10:00:00"], ("answer",), None),  # arrow makes times of these
        ([1, 2.5], ("answer",), ["1", "2.5"]),
        ([1, 2.5], ("other",), [1.0, 2.5]),  # no gold: an ordinary column of numbers
        ([10**30, 1], ("answer",), [str(10**30), "1"]),
        ([1, "007", False, None], ("answer",), ["1", "007", "false", None]),
        (["5", ["5", "6"]], ("answer",), [["5"], ["5", "6"]]),
        ([0, 0], ("answer",), None),
    ],
)
def test_the_golds_of_a_json_file_stay_exact(tmp_path, golds, path, values):
    lines = "\n".join(json.dumps({"answer": gold}) for gold in golds)
    rows = read(tmp_path, "a.jsonl", lines, golds=path)
    assert [row["answer"] for row in rows] == (golds if values is None else values)


def test_nested_golds_stay_exact_and_missing_keys_are_no_values(tmp_path):
    lines = '{"model": {"gold": 1}}\n{"model": {"gold": "007"}, "more": 1}\n{"model": null}\n'
    rows = read(tmp_path, "a.jsonl", lines, golds=["model.gold"])
    assert [row["model"] and row["model"]["gold"] for row in rows] == ["1", "007", None]
    assert [row["more"] for row in rows] == [None, 1, None]


@pytest.mark.parametrize(
    ("name", "content", "settings", "message"),
    [
        ("a.csv", " \n", {}, "is empty"),
        ("a.csv", "a,b\n1,2,3\n", {}, "the rows have more fields than the header"),
        ("a.csv", "a,b\n1,2\n1,2,3\n", {}, "Expected 2 fields in line 3, saw 3"),
        ("a.csv", 'a,b\n"1,2\n', {}, "EOF inside string"),  # a quote that is never closed
        ("a.csv", CSV, {"delimiter": "::"}, "delimiter is '::'; write one character"),
        ("a.csv", CSV, {"encoding": "klingon"}, "unknown encoding: klingon"),
        ("a.csv", CSV, {"encoding": "ascii"}, "encoding 'ascii': 'ascii' codec can't decode"),
        ("a.csv", CSV.encode("utf-16-le"), {}, "is not UTF-8; write `encoding`"),
        ("a.csv", b"a,b\n\x81,1\n", {}, "is not UTF-8; write `encoding`"),
        ("a.jsonl", '{"a": 1}\n{"a"\n', {}, "a.jsonl, line 2: is not JSON"),
        ("a.jsonl", '{"a": 1}\n7\n', {}, "row 2 is no object but 7"),
        ("a.json", "<html>", {}, "a.json: is not JSON"),
        ("a.json.gz", b"no gzip", {}, "cannot be unpacked"),
        ("a.json.gz", gzip.compress(b'{"a": 1}', mtime=0)[:-5], {}, "cannot be unpacked"),  # torn
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_that_names_it(
    tmp_path, name, content, settings, message
):
    with pytest.raises(UserError) as error:
        read(tmp_path, name, content, **settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
