"""JSON files survive a kill: torn lines are skipped, documents are replaced whole."""

import json

import pytest

from recipes.core.files import append_jsonl, filter_jsonl, read_jsonl, replace_jsonl, write_json


@pytest.fixture
def torn(tmp_path):
    """Two whole rows and the beginning of a third, as a killed process leaves them."""
    file = tmp_path / "new folder" / "rows.jsonl"
    append_jsonl(file, [{"n": 1}, {"n": 2, "text": "line\nbreak \u2028"}])
    with file.open("ab") as handle:
        handle.write(b'{"n": 3, "te')
    return file


def numbers(rows):
    return [row["n"] for row in rows]


def test_a_file_that_does_not_exist_has_no_rows(tmp_path):
    assert read_jsonl(tmp_path / "rows.jsonl") == []
    assert filter_jsonl(tmp_path / "rows.jsonl", lambda row: True) == []
    assert not (tmp_path / "rows.jsonl").exists()


def test_a_torn_last_line_is_skipped_and_all_others_are_read(torn):
    assert read_jsonl(torn) == [{"n": 1}, {"n": 2, "text": "line\nbreak \u2028"}]


def test_a_line_that_was_continued_after_a_kill_is_skipped_with_a_warning(torn, caplog):
    append_jsonl(torn, [{"n": 4}, {"n": 5}])  # the first of them is torn, too
    assert numbers(read_jsonl(torn)) == [1, 2, 5]
    assert "line 3: is torn and is skipped" in caplog.text


def test_a_filtered_file_can_be_continued(torn):
    assert numbers(filter_jsonl(torn, lambda row: True)) == [1, 2]
    append_jsonl(torn, [{"n": 3}])
    assert numbers(read_jsonl(torn)) == [1, 2, 3]


def test_unwanted_rows_are_removed_from_the_file(torn):
    assert filter_jsonl(torn, lambda row: row["n"] < 2) == [{"n": 1}]
    assert torn.read_text() == '{"n": 1}\n'


def test_replaced_rows_do_not_include_those_of_an_interrupted_replacement(torn):
    torn.with_name(torn.name + ".part").write_text('{"n": 0}\n')
    replace_jsonl(torn, [{"n": 7}])
    assert read_jsonl(torn) == [{"n": 7}]
    assert list(torn.parent.iterdir()) == [torn]


def test_a_document_is_replaced_whole(tmp_path):
    path = tmp_path / "new folder" / "manifest.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}
    assert list(path.parent.iterdir()) == [path]
