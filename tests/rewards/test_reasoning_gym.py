"""reasoning-gym's verifiers: every task's answer is paid, and no answer reaches beyond its own."""

import json
import os
from pathlib import Path

import pytest
import reasoning_gym
from reasoning_gym.factory import DATASETS

from rewards import RewardError, build_rewards
from rewards.correctness import reasoning_gym_sandbox
from rewards.correctness.reasoning_gym import ReasoningGym
from rewards.isolation import sandbox, sandbox_process
from rewards.isolation.sandbox import probe_protections
from rewards.isolation.sandbox_process import SandboxError
from rewards.trl_adapter import check_rows
from tests.support.commands import answered
from tests.support.programs import needs_sandbox

pytestmark = needs_sandbox

# Tasks whose rows have no answer, and where in the metadata there is one.
ANSWER_KEYS = {
    "graph_color": "possible_answer",
    "propositional_logic": "example_answer",
    "rubiks_cube": "example_correct_answer",
    "boxnet": None,  # a plan for a simulator, none is given
    "rush_hour": None,  # moves that solve a board, none are given
}
NOT_TRIED = {"composite"}  # a mixture of tasks, which needs a configuration

PATIENT = ReasoningGym(timeout_seconds=60)


def make_row(task):
    """A row of the task, as it comes back from a file."""
    return json.loads(json.dumps(reasoning_gym.create_dataset(task, size=1, seed=1)[0]))


def oracle_answer(row):
    """The right answer of a row, as text; `None` if it is not in the row."""
    task = row["metadata"]["source_dataset"]
    if task not in ANSWER_KEYS:
        return row["answer"]
    answer = row["metadata"].get(ANSWER_KEYS[task])
    return answer if isinstance(answer, str | None) else json.dumps(answer)


def test_every_tasks_own_answer_is_paid_and_another_one_is_not():
    rows = [make_row(task) for task in sorted(set(DATASETS) - NOT_TRIED)]
    assert len(rows) > 100

    # All in one batch: each row with its own answer, if it has one, and with two others.
    cases = []
    for row in rows:
        right = oracle_answer(row)
        answers = {"no such answer", "0"} | ({right} - {None})
        cases += [(row, answer, float(answer == right)) for answer in sorted(answers)]
    batch = PATIENT.score_batch([answered(case[1]) for case in cases], [case[0] for case in cases])
    for (row, answer, expected), score in zip(cases, batch.scores, strict=True):
        assert score == expected, (row["metadata"]["source_dataset"], answer)

    without = {row["metadata"]["source_dataset"] for row in rows if oracle_answer(row) is None}
    assert without == {task for task, key in ANSWER_KEYS.items() if key is None}


RIGHT = "1 2 3 6 9 8 7 4 5"
SPIRAL = {"answer": RIGHT, "metadata": {"source_dataset": "spiral_matrix"}}
MODULE = "__import__('reasoning_gym').algorithmic.spiral_matrix"
OS = "__import__('os')"

ATTACKS = [
    # the verifier, for later answers
    f"[setattr({MODULE}.SpiralMatrixDataset, 'score_answer', lambda *answer: 1.0)]",
    "[setattr(__import__('json'), 'dumps', lambda _: '[1.0]')]",
    # the replies of the others
    f'[{OS}.write(1, b\'ready\\n[[1.0, ""], [1.0, ""], [1.0, ""]]\\n\'), {OS}._exit(0)]',
    # time and memory
    "[None for _ in iter(int, 1)]",
    "[9**9**9**9]",
    "bytearray(10**11)",
]
# End the sandbox of the whole batch, or leave no process for the others.
DEADLY_ATTACKS = [f"[{OS}.kill(-1, 9)]", f"[{OS}.fork() for _ in iter(int, 1)]"]


@pytest.fixture
def unguarded(monkeypatch):
    """The verifiers as reasoning-gym made them, so that the attacks do run."""
    program = reasoning_gym_sandbox._program()
    guard = "\nguard_verifiers()\n"
    assert guard in program
    monkeypatch.setattr(
        reasoning_gym_sandbox, "_program", lambda: program.replace(guard, "\n") + "\n"
    )


@pytest.mark.parametrize("attacks", [ATTACKS, *([attack] for attack in DEADLY_ATTACKS)])
def test_no_answer_changes_the_score_of_another(attacks, unguarded):
    answers = [*attacks, "1 2", RIGHT]
    rows = [SPIRAL] * len(answers)
    *own, wrong, right = ReasoningGym().score_batch(map(answered, answers), rows).scores
    assert (wrong, right) == (0.0, 1.0)
    assert not any(own)


def secrets(path):
    """Answers that would earn something if they found what they look for."""
    return [
        f"{OS}.environ['RECIPES_TEST_SECRET'].split()",
        f"open({str(path)!r}).read().split()",
        f"open('/proc/{os.getpid()}/environ').read().partition('TEST_SECRET=')[2][:9].split()",
    ]


@pytest.mark.parametrize("guard", ["guarded", "unguarded"])
def test_answers_see_neither_the_environment_nor_files(guard, monkeypatch, tmp_path, request):
    if guard == "unguarded":
        request.getfixturevalue("unguarded")
    monkeypatch.setenv("RECIPES_TEST_SECRET", RIGHT)
    file = tmp_path / "secret"
    file.write_text(RIGHT)
    reward = ReasoningGym(strict=False)
    answers = [*secrets(file), f"{RIGHT.split()}"]
    batch = reward.score_batch(map(answered, answers), [SPIRAL] * 4)
    # A list instead of a text earns 0.1: the last one shows that the others would have been paid.
    assert batch.scores == [0.0, 0.0, 0.0, 0.1]


FORMULAS = {
    "polynomial_multiplication": {"answer": "x**2 - 1", "metadata": {}},
    "simple_integration": {
        "answer": "x**2 + C",
        "metadata": {"variable": "x", "integrand": "2*x"},
    },
    "intermediate_integration": {
        "answer": "-Integral(x*cos(x), x) + C",
        "metadata": {"variable": "x", "integrand": "-x*cos(x)"},
    },
    "countdown": {"answer": "(44 - 19)*35", "metadata": {"numbers": [44, 19, 35], "target": 875}},
    "puzzle24": {"answer": "6*4*1*1", "metadata": {"numbers": [6, 4, 1, 1]}},
    "bitwise_arithmetic": {"answer": "0x7c", "metadata": {"problem": "((0x1f << 0x2) + 0x0)"}},
    "number_sorting": {"answer": "['1', '2']", "metadata": {"direction": "ascending"}},
    "game_of_life_halting": {"answer": "True", "metadata": {}},
    "coin_flip": {"answer": "0.3125", "metadata": {}},
    "complex_arithmetic": {"answer": "-2.0 - 4.0i", "metadata": {"result": [-2.0, -4.0]}},
}


VERDICTS = [
    ("polynomial_multiplication", "-1 + x**2", 1.0),
    ("polynomial_multiplication", "x**2", 0.0),
    ("polynomial_multiplication", "__import__('unittest.mock').mock.ANY", 0.0),  # equals all
    ("polynomial_multiplication", "x.__class__", 0.0),
    ("polynomial_multiplication", "Symbol('x')**2 - 1", 0.0),  # a call with text
    ("simple_integration", "x**2 + C + sin(1)", 1.0),
    ("simple_integration", "x**2 + S('1')", 0.0),  # sympy's own eval
    ("intermediate_integration", "-Integral(x*cos(x), x) + C", 1.0),  # the row's own
    ("intermediate_integration", "-x*sin(x) - cos(x)", 1.0),
    ("intermediate_integration", "Integral(-x*cos(x), x)", 0.0),  # the question
    ("countdown", "35*(44 - 19)", 1.0),
    ("countdown", "875 if [44, 19, 35] else 0", 0.0),
    ("puzzle24", "1*1*4*6", 1.0),
    ("puzzle24", "8*3*1*1", 0.0),  # 24 of other numbers
    ("bitwise_arithmetic", "124", 1.0),
    ("bitwise_arithmetic", "125", 0.0),
    ("number_sorting", '["1", "2"]', 1.0),
    ("number_sorting", '["2", "1"]', 0.0),
    ("game_of_life_halting", " true", 1.0),
    ("game_of_life_halting", "False", 0.0),  # any text is true to Python
    ("game_of_life_halting", "who knows", 0.0),
    ("complex_arithmetic", "-2.0 - 4.0i", 1.0),
    ("complex_arithmetic", "nan", 0.0),  # no distance from it is too large
    ("coin_flip", "10/32", 1.0),
    ("coin_flip", "0", 0.0),  # the first character of the answer
]


def test_formulas_are_read_and_not_run():
    rows = []
    for task, _, _ in VERDICTS:
        metadata = {**FORMULAS[task]["metadata"], "source_dataset": task}
        rows.append({**FORMULAS[task], "metadata": metadata})
    batch = PATIENT.score_batch([answered(answer) for _, answer, _ in VERDICTS], rows)
    scored = [(*verdict[:2], score) for verdict, score in zip(VERDICTS, batch.scores, strict=True)]
    assert scored == VERDICTS


def test_code_in_a_row_is_not_run():
    code = "__import__('time').sleep(999)"
    rows = [
        {"answer": "1", "metadata": {"source_dataset": "bitwise_arithmetic", "problem": code}},
        {"answer": code, "metadata": {"source_dataset": "number_sorting"}},
    ]
    batch = ReasoningGym(timeout_seconds=10).score_batch([answered("1"), answered("[1]")], rows)
    assert (batch.scores, batch.timed_out) == ([0.0, 0.0], 0)


def test_a_verifier_that_raises_is_counted_and_an_unknown_task_has_no_score():
    rows = [
        {
            "answer": "2 \u00d7 3",
            "metadata": {"source_dataset": "prime_factorization", "number": 6},
        },
        {"answer": "1", "metadata": {"source_dataset": "no_such_task"}},
    ]
    batch = PATIENT.score_batch([answered("two")] * 2, rows)
    assert (batch.scores, batch.raised, batch.failed) == ([0.0, None], 1, 1)


def test_another_version_sends_every_task_to_the_sandbox(monkeypatch):
    monkeypatch.setattr(reasoning_gym_sandbox, "KNOWN_VERSION", "0.0.1")
    assert reasoning_gym_sandbox.needs_sandbox("chain_sum")
    row = {"answer": "42", "metadata": {"source_dataset": "chain_sum"}}
    rows = [row, row]
    assert PATIENT.score_batch([answered("42"), answered("7")], rows).scores == [1.0, 0.0]


def test_without_a_sandbox_those_tasks_are_refused_before_training(monkeypatch):
    monkeypatch.setattr(sandbox_process, "SEARCH_PATH", "/nowhere")
    monkeypatch.setattr(sandbox, "protections", probe_protections)
    (function,), _ = build_rewards(["reasoning_gym"])
    with pytest.raises(RewardError, match=r"as Python: spiral_matrix; .*unprotected: true"):
        check_rows([function], [SPIRAL])
    with pytest.raises(SandboxError, match="unprotected: true"):
        PATIENT(completion=answered(RIGHT), **SPIRAL)
    with pytest.raises(RewardError, match="no row has a mapping `metadata`"):
        check_rows([function], [{"answer": "1"}])

    # The others need none, and a recipe may allow it.
    plain = {"answer": "42", "metadata": {"source_dataset": "chain_sum"}}
    check_rows([function], [plain])
    assert PATIENT(completion=answered("42"), **plain) == 1.0
    reward = ReasoningGym(timeout_seconds=60, unprotected=True)
    reward.check_rows([SPIRAL])
    assert reward(completion=answered(RIGHT), **SPIRAL) == 1.0
    with pytest.raises(ValueError, match="unprotected is 'no'"):
        ReasoningGym(unprotected="no")


def test_a_sandbox_in_which_reasoning_gym_does_not_start_gives_no_score(monkeypatch):
    monkeypatch.setattr(reasoning_gym_sandbox, "_program", lambda: "import no_such_module")
    batch = PATIENT.score_batch([answered(RIGHT)] * 2, [SPIRAL] * 2)
    assert (batch.scores, batch.failed) == ([None, None], 2)


def test_the_programs_constants_are_the_trainers():
    worker = Path(reasoning_gym_sandbox.__file__).with_name("reasoning_gym_worker.py").read_text()
    for name in ("READY", "BACKSTOP"):
        assert f"\n{name} = {getattr(reasoning_gym_sandbox, name)!r}  #".replace("'", '"') in worker
