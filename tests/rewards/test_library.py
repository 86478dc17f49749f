"""The rewards beside the verdict: their formulas, and what cannot fool them."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
import torch

from rewards import RewardError, build_rewards
from rewards.correctness.choice import Choice
from rewards.correctness.countdown import Countdown
from rewards.correctness.exact import Exact
from rewards.correctness.reasoning_gym import ReasoningGym
from rewards.shaping.format import Format
from rewards.shaping.language_consistency import Language
from rewards.shaping.overlong import Overlong
from rewards.shaping.reasoning_steps import ReasoningSteps
from rewards.shaping.repetition import Repetition
from rewards.shaping.tag_count import TagCount
from tests.support.commands import ROOT, answered


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("(44-19)*35", 1.0),  # each number once
        ("35 * (44 - 19)", 1.0),
        ("44-19*35", 0.0),  # another value
        ("(44-19)*35+0", 0.0),  # a number that is not given
        ("(44-19)*(35+44-44)", 0.0),  # a number used too often
        ("875", 0.0),  # the target is not an expression of the numbers
        ("(44-19)*35=875", 0.0),  # an equation
        ("44**19**35", 0.0),  # TinyZero's eval hangs on it
        ("(44-19)*35/(35-35)", 0.0),  # division by zero
        ("(44-19)*35.0", 0.0),  # not a whole number
        ("44//19", 0.0),  # another operator
        ("-19+44", 0.0),  # a sign is no operator between numbers
        ("__import__('os')", 0.0),  # code
        ("(" * 5000 + "44", 0.0),  # deep nesting
        ("((44-19)*35", 0.0),  # an open bracket
    ],
)
def test_countdown_pays_only_expressions_of_the_given_numbers_that_reach_the_target(answer, score):
    assert Countdown()(completion=answered(answer), answer="875", nums=[44, 19, 35]) == score


def test_countdown_does_not_take_digits_or_halves_for_numbers():
    assert (
        Countdown()(completion=answered("1.5*4"), answer="6", nums=[1, 5, 4]) == 0.0
    )  # TinyZero pays it
    assert Countdown()(completion=answered("9//2+3"), answer="7", nums=[9, 2, 3]) == 0.0  # and this
    assert (
        Countdown()(completion=answered("1/3*3"), answer="1", nums=[1, 3, 3]) == 1.0
    )  # exact rationals
    assert Countdown()(completion=answered("1+2"), answer="three", nums=[1, 2]) is None
    for nums in (None, [float("inf")], [1.5, 2], "[1,"):
        assert Countdown()(completion=answered("1+2"), answer="3", nums=nums) is None
    assert Countdown()(completion=answered("1+2"), answer="3", nums="[1, 2]") == 1.0  # as JSON
    assert Countdown()(completion=answered("1+2"), answer="1e400000000", nums=[1, 2]) is None


@pytest.mark.parametrize(
    ("gold", "answer", "score"),
    [
        ("B", "B", 1.0),
        ("B", "b", 1.0),
        ("B", "(B)", 1.0),
        ("(B)", "B.", 1.0),
        ("B", "B) Paris", 1.0),
        ("B", r"\boxed{B}", 1.0),
        ("B", r"\boxed{\text{B}}", 1.0),
        ("B", "A", 0.0),
        ("A", "A or B", 0.0),  # hedging
        ("A", "A cat", 0.0),  # an article
        ("A", "AB", 0.0),
        ("A", "", 0.0),
        ("A", r"\text{A}", 1.0),
        ("A", "**(A)**", 1.0),
        ("C", "C) Vitamin C", 1.0),
        ("A", "A. or B.", 0.0),
        ("A", "A) no, B", 0.0),
        ("A", "(A) 5 (B) 6", 0.0),
        ("Paris", "A", None),  # the gold is not a letter
    ],
)
def test_choice_reads_one_letter(gold, answer, score):
    assert Choice()(completion=answered(answer), answer=gold) == score


def test_exact_compares_texts_and_nothing_else():
    assert Exact()(completion=answered("New  York\n"), answer="New York") == 1.0
    assert Exact()(completion=answered("new york"), answer="New York") == 0.0
    assert Exact(ignore_case=True)(completion=answered("new york"), answer="New York") == 1.0
    assert Exact()(completion=answered("0.50"), answer="0.5") == 0.0
    assert Exact()(completion="0.5", answer="0.5") == 0.0  # no answer block
    assert Exact()(completion=answered("x"), answer=" ") is None
    assert Exact()(completion=answered("5"), answer=5) == 1.0


def test_overlong_is_dapos_equation_13():
    reward = Overlong(max_tokens=100, cache_tokens=20)
    assert [reward(completion="", completion_ids=[0] * n) for n in (0, 80, 85, 90, 100, 1000)] == [
        0,
        0,
        -0.25,
        -0.5,
        -1,
        -1,
    ]


def test_overlong_is_trls_soft_overlong_punishment():
    from trl.rewards import get_soft_overlong_punishment

    ids = [[0] * n for n in (0, 79, 80, 81, 99, 100, 101, 300)]
    ours, _ = build_rewards([{"name": "overlong", "max_tokens": 100, "cache_tokens": 20}])
    theirs = get_soft_overlong_punishment(max_completion_len=100, soft_punish_cache=20)
    assert ours[0](completions=[""] * 8, completion_ids=ids) == pytest.approx(
        theirs(completion_ids=ids)
    )


def test_repetition_is_minus_the_share_of_repeated_ngrams():
    reward = Repetition(ngram_words=2)
    assert reward(completion="a b c d") == 0.0
    assert reward(completion="a b a b") == pytest.approx(2 / 3 - 1)  # ab ba ab
    assert reward(completion="A a " * 50) == pytest.approx(1 / 99 - 1)
    assert reward(completion="") == reward(completion="a") == 0.0


@pytest.mark.parametrize(
    ("text", "tags", "graded"),
    [
        (answered("1"), 1.0, 1.0),
        ("<think>a</think><answer>1</answer> Done.", 1.0, 0.5),  # all tags, but not a trace
        ("<think>a</think>1", 0.5, 0.25),
        ("<think>" * 9 + "a</think><answer>1", 0.5, 0.25),  # stuffing does not pay
        ("", 0.0, 0.0),
    ],
)
def test_tag_count_and_graded_format_pay_each_tag_once(text, tags, graded):
    assert TagCount()(completion=text) == tags
    assert Format(graded=True)(completion=text) == graded


def test_cosine_is_trls_cosine_reward_and_does_not_pay_for_length_beyond_its_end():
    from trl.rewards import get_cosine_scaled_reward

    lengths = [0, 1, 25, 50, 99, 100, 150, 200, 1000]  # open-r1's pays 200 like 0
    texts = [answered(rf"\boxed{{{answer}}}") for answer in ("1", "2") for _ in lengths]
    messages = [[{"role": "assistant", "content": text}] for text in texts]
    ids = [[0] * n for n in lengths] * 2
    (ours,), _ = build_rewards([{"name": "cosine", "max_tokens": 100}])
    theirs = get_cosine_scaled_reward(max_len=100)(messages, ["1"] * len(texts), ids)
    scores = ours(completions=messages, answer=["1"] * len(texts), completion_ids=ids)
    assert scores == pytest.approx(theirs)
    assert scores[5:9] == [0.5] * 4 and scores[-4:] == [-0.5] * 4
    # An unreadable gold is no right answer, as it is in open-r1's.
    assert ours(completions=messages[:1], answer=["~"], completion_ids=[[0]]) == [None]


def test_length_group_compares_lengths_within_the_completions_of_one_question():
    (reward,), _ = build_rewards(["length_group"])
    rows = [  # question, answer, tokens, score
        ("a", "1", 10, 0.5),
        ("a", "1", 20, 0.0),
        ("a", "1", 30, -0.5),
        ("a", "2", 10, 0.0),  # wrong and short earns nothing
        ("a", "2", 30, -0.5),
        ("b", "1", 1000, 0.0),  # alone, however long: open-r1 takes the lengths of the whole batch
        ("c", "1", 7, 0.0),
        ("c", "2", 7, 0.0),
    ]
    prompts, answers, lengths, expected = zip(*rows, strict=True)
    scores = reward(
        completions=[answered(answer) for answer in answers],
        prompts=[[{"role": "user", "content": prompt}] for prompt in prompts],
        answer=["1"] * len(rows),
        completion_ids=[[0] * n for n in lengths],
    )
    assert scores == pytest.approx(list(expected))
    scores = reward(
        completions=[answered("1")] * 2,
        prompts=["a", "a"],
        answer=["1", "~"],
        completion_ids=[[0], [0, 0]],
    )
    assert scores == [0.0, None]  # an unreadable gold is no right answer


@pytest.mark.parametrize(
    ("language", "think", "score"),
    [
        ("en", "so the sum is 42", 1.0),
        ("en", "so \u8fd9\u662f the sum", 0.6),  # two Han characters are two words
        ("zh", "\u6240\u4ee5\u7b54\u6848\u662f 42", 1.0),
        ("zh", "\u6240\u4ee5 \\frac{1}{2}", 1.0),  # LaTeX is no language
        ("ru", "\u0438\u0442\u0430\u043a, so", 0.5),
        ("ja", "\u7b54\u3048\u306f 42 \u3067\u3059", 1.0),  # kanji and kana
        ("en", "6*7=42", 1.0),  # no words
    ],
)
def test_language_is_the_share_of_words_in_the_target_language(language, think, score):
    assert Language(language)(
        completion=f"<think>{think}</think><answer>1</answer>"
    ) == pytest.approx(score)
    assert Language(language)(completion=think) == 0.0  # no trace


def test_random_pays_by_chance_the_same_way_each_time():
    (reward,), _ = build_rewards(["random"])
    scores = reward(completions=["same"] * 1000)
    assert set(scores) == {0.0, 1.0} and 400 < sum(scores) < 600
    assert reward(completions=["same"] * 1000) == scores != reward(completions=["other"] * 1000)
    assert set(
        build_rewards([{"name": "random", "probability": 1}])[0][0](completions=["a"] * 9)
    ) == {1.0}


def test_reasoning_steps_counts_steps_of_the_think_block_alone():
    reward = ReasoningSteps(steps=4)
    think = "First, read it.\nStep 2: add.\n3. carry\n- done\n"
    assert reward(completion=f"<think>{think}</think><answer>1</answer>") == 1.0
    assert reward(completion="<think>Then, add. It is 3.14 - 1</think><answer>1</answer>") == 0.25
    assert reward(completion=f"<think>a</think><answer>{think}</answer>") == 0.0


def test_reasoning_gym_pays_what_the_tasks_verifier_calls_right_and_no_part_of_it():
    import reasoning_gym

    for task in ("chain_sum", "countdown", "leg_counting", "basic_arithmetic"):
        for entry in reasoning_gym.create_dataset(task, size=3, seed=1):
            row = {
                "question": entry["question"],
                "answer": entry["answer"],
                "metadata": entry["metadata"],
            }
            assert ReasoningGym()(completion=answered(entry["answer"]), **row) == 1.0
            assert ReasoningGym()(completion=answered("1" + entry["answer"]), **row) == 0.0
    row = {"answer": "42", "metadata": json.dumps({"source_dataset": "chain_sum"})}
    assert ReasoningGym(strict=False)(completion=answered("142"), **row) == pytest.approx(
        2 / 3
    )  # reasoning-gym's own score
    assert ReasoningGym()(completion=answered("142"), **row) == 0.0
    assert ReasoningGym()(completion=answered("42"), answer="42") is None  # no task
    assert ReasoningGym()(completion="42", **row) == 0.0


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory):
    """A reward model folder: the recipe's small base model with a new, random head."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder, base = tmp_path_factory.mktemp("reward_model"), ROOT / "recipes/arithmetic/models/base"
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_pretrained(base, num_labels=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def test_model_gives_the_logit_of_prompt_and_completion_whatever_the_batch(reward_model):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, tokenizer = (
        cls.from_pretrained(reward_model)
        for cls in (AutoModelForSequenceClassification, AutoTokenizer)
    )
    model = model.float()
    texts = [answered("1"), answered("1234567"), ""]
    prompt = [{"role": "user", "content": "6*7+0"}]
    expected = []
    for text in texts:
        rendered = tokenizer.apply_chat_template(
            [*prompt, {"role": "assistant", "content": text}], tokenize=False
        )
        expected.append(
            model(
                **tokenizer(rendered, return_tensors="pt", add_special_tokens=False)
            ).logits.item()
        )
    assert len(set(expected)) == 3
    for size in (1, 3):
        (function,), _ = build_rewards(
            [{"name": "model", "model_name_or_path": str(reward_model), "batch_size": size}]
        )
        assert function(completions=texts, prompts=[prompt] * 3) == pytest.approx(
            expected, abs=1e-4
        )


class Endpoint(BaseHTTPRequestHandler):
    """An OpenAI-compatible server whose replies and failures are told by the answer that it is asked about."""

    asked: ClassVar[list[str]] = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][0]["content"]
        answer = prompt.split("---\n")[1].split("\n---")[0]
        self.asked.append(answer)
        status = {"down": 500, "no key": 401}.get(
            answer, 500 if answer == "shaky" and self.asked.count("shaky") == 1 else 200
        )
        replies = {
            "right": "It is.\nScore: 1",
            "shaky": "**Score: 1**",
            "wrong": "It says 'Score: 1'.\nScore: 0",
        }
        text = replies.get(answer, "?")
        reply = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"],
                 "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}]}  # fmt: skip
        data = json.dumps(
            reply if status == 200 else {"error": {"message": "out of order"}}
        ).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


def test_a_judge_that_fails_is_no_verdict(monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret-key")
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        entry = {
            "name": "judge",
            "base_url": f"http://127.0.0.1:{server.server_port}/v1",
            "model": "m",
            "retries": 1,
        }
        (reward,), _ = build_rewards([entry | {"api_key_variable": "MY_KEY"}])
        metrics = {}
        answers = ["right", "wrong", "shaky", "down", "no score"]
        texts = [*map(answered, answers), "not a trace"]
        columns = {
            "question": ["{answer}?"] * 6,
            "answer": ["{completion}"] * 6,
        }  # braces in data are data
        assert reward(completions=texts, log_metric=metrics.__setitem__, **columns) == [
            1.0,
            0.0,
            1.0,
            None,
            None,
            0.0,
        ]
        assert (metrics["rewards/judge/failed"], metrics["rewards/judge/none"]) == (2 / 6, 2 / 6)
        assert (
            Endpoint.asked.count("shaky") == Endpoint.asked.count("down") == 2
        )  # tried again, not for ever
        with pytest.raises(RewardError, match="AuthenticationError") as error:
            reward(completions=[answered("no key")], question=["?"], answer=["1"])
        assert "secret-key" not in str(error.value) + repr(reward)
        server.shutdown()
    assert reward(completions=[answered("right")], question=["?"], answer=["1"]) == [
        None
    ]  # nobody listens any more
