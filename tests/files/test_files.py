"""JSON files survive a kill: torn lines are dropped, documents are replaced whole."""

import json

from recipes.core.files import append_jsonl, filter_jsonl, read_jsonl, write_json


def test_a_torn_last_line_is_dropped_and_all_others_stay(tmp_path):
    file = tmp_path / "a" / "rows.jsonl"
    assert read_jsonl(file) == []
    append_jsonl(file, [{"n": 1}, {"n": 2, "text": "line\nbreak \u2028"}])
    with file.open("ab") as handle:
        handle.write(b'{"n": 3, "te')
    assert [row["n"] for row in read_jsonl(file)] == [1, 2]
    assert [row["n"] for row in filter_jsonl(file, lambda row: True)] == [1, 2]
    append_jsonl(file, [{"n": 3}])
    assert [row["n"] for row in read_jsonl(file)] == [1, 2, 3]
    assert filter_jsonl(file, lambda row: row["n"] < 2) == [{"n": 1}]
    assert file.read_text() == '{"n": 1}\n'


def test_documents_are_replaced_whole(tmp_path):
    path = tmp_path / "a" / "manifest.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}
    assert [p.name for p in path.parent.iterdir()] == ["manifest.json"]
