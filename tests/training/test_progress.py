"""The line of metrics that a training prints."""

from recipes.core.training.callbacks.progress import format_metrics


def test_rewards_come_first_and_metrics_have_short_names():
    logs = {
        "loss": 0.00214,
        "completions/clipped_ratio": 0.25,
        "frac_reward_zero_std": 0.5,
        "rewards/accuracy/mean": 0.4321,
        "rewards/accuracy/std": 0.1,
        "learning_rate": 1e-5,
        "kl": None,
    }
    line = format_metrics(logs)
    assert line == "accuracy 0.432  loss 0.00214  truncated 0.25  zero-variance groups 0.5"


def test_a_log_without_such_metrics_prints_nothing():
    assert format_metrics({"train_runtime": 3.0}) == ""
