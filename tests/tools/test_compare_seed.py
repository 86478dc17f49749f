"""The costs of the arms of one seed, from what the stages wrote."""

import json

from recipes.tools.compare_seed import ARMS, SeedRun
from recipes.tools.stage_runner import Cost


def write_training(folder, seconds, tokens):
    folder.mkdir(parents=True)
    logs = [{"num_tokens": tokens - 1}, {"eval_num_tokens": tokens}, {"train_runtime": seconds}]
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": logs}))


def test_each_arm_costs_its_stages_and_its_teacher(tmp_path):
    write_training(tmp_path / "policy", 60.0, 1000)
    write_training(tmp_path / "student", 40.0, 700)
    write_training(tmp_path / "rl_only/policy", 110.0, 5000)
    write_training(tmp_path / "then_rl/student", 20.0, 350)
    write_training(tmp_path / "then_rl/policy", 25.0, 900)
    sampling = {"completions": 100, "seconds_per_completion": 0.25, "tokens": 30}
    manifest = tmp_path / "generations.manifest.json"
    manifest.write_text(json.dumps({"sampling": sampling}))

    costs = SeedRun(tmp_path, tmp_path, seed=1).arm_costs()
    assert tuple(costs) == ARMS
    totals = {name: cost.total for name, cost in costs.items()}
    assert totals == {
        "student_base": Cost(0.0, 0),
        "rl_only": Cost(110.0, 5000),
        "distilled": Cost(60.0 + 25.0 + 40.0, 1000 + 30 + 700),
        "distilled_then_rl": Cost(60.0 + 25.0 + 20.0 + 25.0, 1000 + 30 + 350 + 900),
        "teacher": Cost(60.0, 1000),
    }
    shares = {name: cost.teacher_share for name, cost in costs.items()}
    assert shares == {
        "student_base": Cost(),
        "rl_only": Cost(),
        "distilled": Cost(85.0, 1030),
        "distilled_then_rl": Cost(85.0, 1030),
        "teacher": Cost(60.0, 1000),
    }
