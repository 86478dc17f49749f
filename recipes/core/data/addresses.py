"""Fetches a data file from an address: `https://host/path/questions.jsonl`, or `hf://datasets/...`.

What follows the path of an address may be a key that signs it, so it appears in no message.
"""

import contextlib
import http.client
import re
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from recipes.core.errors import UserError, one_line

TIMEOUT_SECONDS = 60.0  # without a single byte

# matches: hf://datasets/openai/gsm8k@main/main/train.jsonl
_HUB = re.compile(r"hf://datasets/(?P<id>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?(?:/(?P<file>.+))?")
# matches: https://huggingface.co/datasets/openai/gsm8k/blob/main/main/train.jsonl
_HUB_FILE = re.compile(
    r"https?://huggingface\.co/datasets/([^/?#]+/[^/?#]+)/(?:blob|resolve|raw)/([^/?#]+)/([^?#]+)"
)
# matches: https://huggingface.co/datasets/openai/gsm8k
_HUB_PAGE = re.compile(r"https?://huggingface\.co/datasets/([^/?#]+/[^/?#]+)/?")


def is_address(name: str) -> bool:
    return "://" in name


def without_secrets(name: str) -> str:
    """An address without its user, password and query; any other name as it is."""
    if not is_address(name):
        return name
    scheme, _, rest = name.partition("://")
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def hub_dataset(address: str) -> tuple[str | None, str | None]:
    """The id and the revision of a whole dataset of the hub; `None` if it is something else."""
    # The page in a browser, or the hub's own kind of address.
    page = _HUB_PAGE.fullmatch(address)
    if page:
        return page[1], None
    match = _HUB.fullmatch(address.rstrip("/"))
    if match and not match["file"]:
        return match["id"], match["revision"]
    return None, None


@contextlib.contextmanager
def fetch(address: str) -> Iterator[Path]:
    """A copy of the file on this machine, under its own name; one of the web is removed at the end.

    Raises:
        UserError: the file cannot be fetched.
    """
    # The hub keeps its files in a cache.
    page = _HUB_FILE.match(address)
    if page:
        address = f"hf://datasets/{page[1]}@{page[2]}/{page[3]}"
    if address.startswith("hf://"):
        yield _fetch_from_hub(address)
        return
    if not address.startswith(("http://", "https://")):
        raise UserError(
            f"dataset_name {without_secrets(address)!r}: only http://, https:// and hf:// are "
            "fetched; download it, and write the file or the folder"
        )

    # Any other server: into a folder of our own.
    shown = without_secrets(address)
    with tempfile.TemporaryDirectory() as folder:
        name = PurePosixPath(unquote(urlsplit(address).path)).name or "index.html"
        path = Path(folder) / name
        _download(address, path)
        try:
            yield path
        except UserError as error:  # the user knows the address, and not the copy
            raise UserError(str(error).replace(str(path), shown)) from error


def _fetch_from_hub(address: str) -> Path:
    from huggingface_hub import hf_hub_download

    match = _HUB.fullmatch(address)
    if match is None:
        raise UserError(
            f"dataset_name {address!r}: write hf://datasets/owner/name/path/of/the/file.jsonl"
        )
    path = hf_hub_download(
        match["id"], match["file"], repo_type="dataset", revision=match["revision"]
    )
    return Path(path)


def _download(address: str, path: Path) -> None:
    try:
        with (
            urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as reply,
            path.open("wb") as file,
        ):
            shutil.copyfileobj(reply, file)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        shown = without_secrets(address)
        reason = one_line(error, 200).replace(address, shown)
        raise UserError(f"dataset_name {shown!r}: cannot be fetched: {reason}") from error
