"""Manifests name the versions and the hashes of what a run was made from."""

import json

from recipes.core.runs.fingerprints import model_sha256
from recipes.core.runs.manifest import Provenance, write_manifest


def test_manifests_hash_what_they_name(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"a")
    before = model_sha256(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"b")
    assert before != model_sha256(tmp_path)
    assert model_sha256("Qwen/Qwen3-0.6B-Base") is None
    write_manifest(
        tmp_path / "manifest.json", "grpo", Provenance(config={"a": 1}, inputs={}), 0.0, steps=3
    )
    written = json.loads((tmp_path / "manifest.json").read_text())
    assert written["steps"] == 3 and written["versions"]["trl"] == "1.16.0"
