"""rewards/README.md: its table, and its example of a user's own rewards."""

import re
import sys

import yaml

from rewards import REWARDS, build_rewards
from rewards.audit import audit_rewards
from rewards.trl_adapter import call_reward_function
from tests.support.commands import ROOT, answered

README = (ROOT / "rewards/README.md").read_text()


def example_entries(tmp_path, monkeypatch):
    """The `rewards:` of the README's example, whose file can be imported."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    _, example = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "my_rewards.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_rewards", raising=False)
    return yaml.safe_load(example)["rewards"]


def test_the_table_lists_every_reward():
    # name | question | score | source
    names = re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\|[^|]*\|$", README, re.MULTILINE)
    assert sorted(names) == sorted(REWARDS)


def test_the_example_of_own_rewards_scores_as_its_comments_say(tmp_path, monkeypatch):
    functions, weights = build_rewards(example_entries(tmp_path, monkeypatch))
    assert weights == [1.0, 0.1, 0.1, 1.0, 1.0]
    texts = [answered("42.0001"), answered("Sorry"), "42", answered("42")]
    columns = {
        "completions": [[{"role": "assistant", "content": text}] for text in texts],
        "answer": ["42", "42", "42", "?"],
        "completion_ids": [[0], [0, 0], [0], [0, 0]],
    }
    scores = [call_reward_function(function, **columns) for function in functions]
    within_tolerance, no_apologies, shortest, ends_well, cosine = scores
    assert within_tolerance == [1.0, 0.0, 0.0, None]
    assert no_apologies == [1.0, 0.0, 1.0, 1.0]
    assert shortest == [1.0, 0.0, 1.0, 0.0]
    assert ends_well == [1.0, 1.0, 0.0, 1.0]
    assert [score and round(score, 2) for score in cosine] == [1.0, -1.0, -1.0, None]


def test_the_example_passes_the_audit(tmp_path, monkeypatch):
    example_entries(tmp_path, monkeypatch)
    entries = ["my_rewards:WithinTolerance", {"name": "format", "weight": 0.2}]
    assert audit_rewards(entries).problems == {}
