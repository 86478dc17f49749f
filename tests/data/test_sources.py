"""A dataset is read from every kind of source; one that cannot be read is one clear line."""

import gzip
import http.server
import json
import threading

import pytest
from datasets import Dataset, DatasetDict

from recipes.core.data.addresses import hub_dataset, without_secrets
from recipes.core.data.questions import DataArguments
from recipes.core.data.sources import load_split
from recipes.core.errors import UserError
from tests.support.commands import ROOT

ROWS = [{"question": f"{n}+{n}?", "answer": str(2 * n), "level": n} for n in range(1, 6)]


def five_questions():
    """A dataset as a function, which a test names by its address."""
    return DatasetDict({"train": Dataset.from_list(ROWS)})


def one_split():
    return Dataset.from_list(ROWS)


def no_splits():
    return ROWS


def save(folder, kind):
    """Writes the rows in one kind of source, and returns its `dataset_name`."""
    dataset = Dataset.from_list(ROWS)
    file = str(folder / f"train.{kind}")
    if kind == "function":
        return "tests.data.test_sources:five_questions"
    if kind == "function of one split":
        return "tests.data.test_sources:one_split"
    if kind == "jsonl":
        dataset.to_json(file)
    elif kind == "json":
        (folder / "train.json").write_text(json.dumps(ROWS))
    elif kind == "csv":
        dataset.to_csv(file)
    elif kind == "tsv":
        dataset.to_csv(file, sep="\t")
    elif kind == "jsonl.gz":
        dataset.to_json(str(folder / "plain"))
        (folder / "train.jsonl.gz").write_bytes(gzip.compress((folder / "plain").read_bytes()))
    elif kind == "parquet":
        dataset.to_parquet(file)
    elif kind == "folder of files":
        dataset.to_json(str(folder / "train.jsonl"))
        return str(folder)
    elif kind == "folder of CSVs":  # in two parts, as on the hub
        (folder / "data").mkdir()
        dataset.select(range(2)).to_csv(str(folder / "data/train-0.csv"))
        dataset.select(range(2, 5)).to_csv(str(folder / "data/train-1.csv"))
        return str(folder)
    elif kind == "saved dataset":
        dataset.save_to_disk(str(folder))
        return str(folder)
    elif kind == "saved splits":
        DatasetDict({"train": dataset}).save_to_disk(str(folder))
        return str(folder)
    return file


KINDS = [
    "jsonl",
    "json",
    "jsonl.gz",
    "csv",
    "tsv",
    "parquet",
    "folder of files",
    "folder of CSVs",
    "saved dataset",
    "saved splits",
    "function",
    "function of one split",
]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_read_from_every_kind_of_source(tmp_path, kind):
    rows = load_split(DataArguments(dataset_name=save(tmp_path, kind)), "train").to_list()
    for row in rows:
        row["answer"] = str(row["answer"])  # a CSV has no types
    assert rows == ROWS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("split", "levels"),
    [
        ("train[:40%]", [1, 2]),
        ("train[-1:]", [5]),
        ("train[3:]+train[:1]", [4, 5, 1]),
        ("all", [1, 2, 3, 4, 5]),
    ],
)
def test_every_kind_of_source_has_slices(tmp_path, kind, split, levels):
    rows = load_split(DataArguments(dataset_name=save(tmp_path, kind)), split)
    assert list(rows["level"]) == levels


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("./nowhere", "train", "there is no file or folder './nowhere'"),
        ("nowhere.jsonl", "train", "there is no file or folder 'nowhere.jsonl'"),  # not on the hub
        ("no_such_module:f", "train", "cannot import 'no_such_module:f'"),
        ("tests.data.test_sources:f", "train", "cannot import 'tests.data.test_sources:f'"),
        ("README.md", "train", "is not one of .jsonl, .json, .csv, .parquet"),
        ("tests.data.test_sources:five_questions", "test", "no split 'test'; there are: train"),
        ("tests.data.test_sources:five_questions", "train[:5", "no split 'train[:5'"),
        (
            "tests.data.test_sources:no_splits",
            "train",
            "returns a list; return a dataset",
        ),
        ("s3://bucket/train.jsonl", "train", "only http://, https:// and hf:// are fetched"),
        ("hf://gsm8k", "train", "write hf://datasets/owner/name/path/of/the/file.jsonl"),
        ("hf://datasets/owner/name/train.jsonl", "train", "offline mode is enabled"),
        (
            "https://huggingface.co/datasets/owner/name/blob/main/a/train.jsonl",
            "train",
            "/datasets/owner/name/resolve/main/a/train.jsonl: offline mode is enabled",
        ),
    ],
)
def test_a_source_that_cannot_be_read_is_one_clear_line(monkeypatch, name, split, message):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError) as error:
        load_split(DataArguments(dataset_name=name), split)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["jsonl", "folder of files", "saved splits"])
def test_a_split_that_a_source_does_not_have_is_named(tmp_path, kind):
    with pytest.raises(UserError, match=r"\btest\b") as error:
        load_split(DataArguments(dataset_name=save(tmp_path, kind)), "test")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("broken.jsonl", '{"question": "a", "ans'),
        ("empty.jsonl", ""),
    ],
)
def test_a_broken_or_empty_file_is_one_clear_line_that_names_it(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=name) as error:
        load_split(DataArguments(dataset_name=str(tmp_path / name)), "train")
    assert "\n" not in str(error.value)


def clone(folder, with_readme):
    """A clone of a hub dataset with the configurations `main` and `easy`."""
    lines = ["---", "configs:"]
    for name in ("main", "easy"):
        (folder / name).mkdir()
        (folder / name / "train.jsonl").write_text(json.dumps({"question": name, "answer": "007"}))
        lines += [f"- config_name: {name}", f"  data_files: {name}/*.jsonl"]
    if with_readme:
        (folder / "README.md").write_text("\n".join([*lines, "---"]))
    return str(folder)


@pytest.mark.parametrize("with_readme", [True, False])
def test_a_clone_of_a_hub_dataset_has_its_configurations(tmp_path, with_readme):
    name = clone(tmp_path, with_readme)
    rows = load_split(DataArguments(dataset_name=name, dataset_config="easy"), "train")
    assert rows.to_list() == [{"question": "easy", "answer": "007"}]


def test_a_configuration_can_be_a_saved_dataset(tmp_path):
    save(tmp_path / "main", "saved splits")
    args = DataArguments(dataset_name=str(tmp_path), dataset_config="main")
    assert len(load_split(args, "train[:2]")) == 2


def test_a_configuration_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    args = DataArguments(dataset_name=clone(tmp_path, True), dataset_config="hard")
    with pytest.raises(UserError, match="no dataset_config 'hard'; there are: main, easy"):
        load_split(args, "train")


def test_a_folder_without_configurations_is_read_for_a_recipe_that_names_one(tmp_path):
    args = DataArguments(dataset_name=save(tmp_path, "folder of files"), dataset_config="main")
    assert len(load_split(args, "train")) == 5


def test_the_types_that_a_folder_declares_count(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"question": "a", "answer": 7}')
    features = ["- name: question", "  dtype: string", "- name: answer", "  dtype: string"]
    declared = ["---", "dataset_info:", "  features:", *(f"  {line}" for line in features), "---"]
    (tmp_path / "README.md").write_text("\n".join(declared))
    assert load_split(DataArguments(dataset_name=str(tmp_path)), "train")["answer"][0] == "7"


@pytest.fixture
def web(tmp_path):
    """The address of a server of the files in `tmp_path`."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "csv", "parquet"])
def test_a_file_is_fetched_from_its_address(tmp_path, web, kind):
    save(tmp_path, kind)
    args = DataArguments(dataset_name=f"{web}/train.{kind}?signature=secret")
    assert list(load_split(args, "train[1:3]")["level"]) == [2, 3]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nowhere.jsonl", "/nowhere.jsonl': cannot be fetched: HTTP Error 404"),
        ("/broken.jsonl", "/broken.jsonl: is not JSON"),
        ("/page.html", "/page.html: is not one of .jsonl"),
    ],
)
def test_an_address_that_cannot_be_read_is_one_line_without_its_key(tmp_path, web, path, message):
    (tmp_path / "broken.jsonl").write_text("{\n")
    (tmp_path / "page.html").write_text("<html>")
    with pytest.raises(UserError) as error:
        load_split(DataArguments(dataset_name=f"{web}{path}?signature=secret"), "train")
    assert f"{web}{message}" in str(error.value).replace("dataset_name '", "")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://me:secret@host/a.jsonl", "https://host/a.jsonl"),
        ("https://host:80/a.jsonl?key=secret@x#secret", "https://host:80/a.jsonl"),
        ("openai/gsm8k", "openai/gsm8k"),
        ("my.module:function", "my.module:function"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address, shown):
    assert without_secrets(address) == shown


@pytest.mark.parametrize(
    ("address", "dataset"),
    [
        ("https://huggingface.co/datasets/openai/gsm8k", ("openai/gsm8k", None)),
        ("hf://datasets/openai/gsm8k", ("openai/gsm8k", None)),
        ("hf://datasets/openai/gsm8k@v1/", ("openai/gsm8k", "v1")),
        ("hf://datasets/openai/gsm8k/main/train.jsonl", (None, None)),  # a file of it
        ("https://host/train.jsonl", (None, None)),
    ],
)
def test_the_address_of_a_hub_dataset_is_its_id(address, dataset):
    assert hub_dataset(address) == dataset
