"""What a program can and cannot do to the machine and to its score. Real runs: where the protections are missing, these fail."""

import itertools
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from rewards import REWARDS
from rewards.correctness.code import Code, program_in
from rewards.correctness.unit_tests import read_tests
from rewards.isolation import namespaces, sandbox
from rewards.isolation.namespaces import PYTHON, Limits
from rewards.isolation.sandbox import SandboxError, protections, require_protections, run_program

MARKS = itertools.count(os.getpid() * 1000)
# Seen in the command line of each program, and another one for each of pytest's workers: tells what is left of our attacks.
MEMORY_MB = 400 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
ADD = "def add(a, b):\n    return a + b"
SUM = [{"input": "1 2\n", "output": "3\n"}, {"input": "5 7\n", "output": "12\n"}]


def answered(program):
    return f"<think>a</think><answer>\n```python\n{program}\n```\n</answer>"


def left_running(mark):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [path.parent.name] if mark.encode() in path.read_bytes() else []
        except OSError:
            continue  # ended while we looked
    return found


if protections().launcher == "none":
    pytest.skip(
        f"no sandbox: {', '.join(protections().missing)}; {protections().reason}",
        allow_module_level=True,
    )


def test_the_protections_are_said():
    assert "no network, own process ids, read-only files" in str(
        require_protections(unprotected=False)
    )


@pytest.mark.parametrize(
    ("program", "share"),
    [
        ("a, b = map(int, input().split())\nprint(a + b)", 1.0),
        (
            "a, b = map(int, input().split())\nprint(a + b, ' \\n\\n')",
            1.0,
        ),  # white space at the end
        ("print(3)", 0.5),  # one of the two tests
        (
            "print(*[sum(map(int, input().split())), 'and more'], sep='\\n')",
            0.0,
        ),  # open-r1 pays a right first line
        ("a, b = map(int, input().split())\nprint(' ', a + b)", 0.0),  # white space at the start
        (
            "a, b = map(int, input().split())\nprint(a + b)\nraise SystemExit(1)",
            0.0,
        ),  # right, and then an error
        ("print(sum(map(int, input().split()))", 0.0),  # does not parse
        ("", 0.0),  # nothing
    ],
)
def test_whole_outputs_are_compared(program, share):
    assert Code(partial_credit=True)(completion=answered(program), tests=SUM) == share
    assert Code()(completion=answered(program), tests=SUM) == float(share == 1)


@pytest.mark.parametrize(
    ("program", "tests", "score"),
    [
        (ADD, ["assert add(1, 2) == 3", "assert add('a', 'b') == 'ab'"], 1.0),
        (ADD, ["assert add(1, 2) == 4"], 0.0),
        (
            ADD,
            ["assert abs(add(0.1, 0.2) - 0.3) < 1e-9", "assert math.isclose(add(0.1, 0.2), 0.3)"],
            1.0,
        ),
        (
            ADD,
            [
                "assert set(add([1], [2, 2])) == set([1, 2])",
                "assert add((1,), ()) == (1,)",
                "assert not add(0, 0)",
            ],
            1.0,
        ),
        (
            ADD,
            [
                "assert add(1e308, 1e308) == float('inf')",
                "assert add({1: 2}.get(1), 0) in [2, 3], 'why'",
            ],
            1.0,
        ),
        (ADD, ["assert all(add(n, n) == 2 * n for n in range(3))"], 1.0),
        (
            "def sum(a, b):\n    return a * b",
            ["assert sum(2, 5) == 10"],
            1.0,
        ),  # called like one of Python's
        (
            "from collections import Counter",
            ["assert Counter('aab') == {'a': 2, 'b': 1}"],
            1.0,
        ),  # as data, a dict
        ("def add(a, b):\n    return a + b + 1", ["assert add(1, 2) == 3"], 0.0),
        (
            "import sys\nsys.exit(0)",
            ["assert add(1, 2) == 3"],
            0.0,
        ),  # ends with success before the assertion
        ("import os\nos._exit(0)", ["assert add(1, 2) == 3"], 0.0),  # without any clean-up
        (
            "import os\nprint('[3]', flush=True)\nos._exit(0)",
            ["assert add(1, 2) == 4"],
            0.0,
        ),  # hands out a guess
        (
            "def add(a, b):\n    print('1\\n' * 9)\n    return 1",
            ["assert add(1, 2) == 3"],
            0.0,
        ),  # prints success
        (
            "class Any:\n    __eq__ = lambda a, b: True\ndef add(a, b): return Any()",
            ["assert add(1, 2) == 3"],
            0.0,
        ),
        (
            "class Any(int):\n    __eq__ = lambda a, b: True\ndef add(a, b): return Any(1)",
            ["assert add(1, 2) == 3"],
            0.0,
        ),
        (
            "class Any:\n    __repr__ = lambda a: '_[0] or True'\ndef add(a, b): return Any()",
            ["assert add(1, 2) == 3"],
            0.0,
        ),
        (
            "import builtins\nbuiltins.AssertionError = Warning\ndef add(a, b): return 1",
            ["assert add(1, 2) == 3"],
            0.0,
        ),
        (
            "import builtins\nbuiltins.set = lambda a: 1\ndef add(a, b): return 1",
            ["assert set(add(1, 2)) == set([3])"],
            0.0,
        ),
        (
            "import math\nmath.isclose = lambda *a: True\ndef add(a, b): return 1",
            ["assert math.isclose(add(1, 2), 3)"],
            0.0,
        ),
        (
            "import sys\ndef add(a, b): return [f.f_locals for f in sys._current_frames()]",
            ["assert add(1, 2) == 3"],
            0.0,
        ),
        (
            "def add(a, b):\n    x = []\n    for _ in range(900): x = [x]\n    return x",
            ["assert add(1, 2) == 3"],
            0.0,
        ),  # deep
    ],
)
def test_an_assertion_is_judged_by_the_values_that_the_program_computes(program, tests, score):
    assert Code()(completion=answered(program), tests=tests) == score


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("print(1)", "print(1)"),  # no fence
        ("So:\n```python\nprint(1)\n```\nDone.", "print(1)\n"),
        ("```py\nprint(1)\n```", "print(1)\n"),
        ("```\nprint(1)\n```", "print(1)\n"),
        (
            "```python\nprint(1)\n```\nBetter:\n```python\nprint(2)\n```",
            "print(2)\n",
        ),  # the last one
        (
            "```bash\nls\n```\n```python\nprint(1)\n```\n```text\n1\n```",
            "print(1)\n",
        ),  # other languages are not programs
    ],
)
def test_the_program_is_the_last_python_fence_or_the_whole_answer(answer, program):
    assert program_in(answer) == program


def test_tests_are_read_in_each_form_and_rows_without_any_are_left_out():
    assert (
        read_tests(json.dumps(SUM))
        == read_tests({"inputs": ["1 2\n", "5 7\n"], "outputs": ["3\n", ["12", ""]]})
        == read_tests(SUM)
    )
    for tests in (
        None,
        [],
        "",
        "{",
        [{"input": "1"}],
        [3],
        ["x = 1"],
        ["assert True"],
        {"inputs": ["1"], "outputs": []},
    ):
        assert Code()(completion=answered("print(1)"), tests=tests) is None
    assert Code()(completion="print(1)", tests=SUM) == 0.0  # not a trace
    assert REWARDS["code"] is Code
    assert pickle.loads(pickle.dumps(Code(processes=2))) == Code(processes=2)
    for wrong in (
        {"timeout_seconds": 0},
        {"memory_mb": 1},
        {"output_kb": 0.5},
        {"processes": True},
        {"unprotected": "no"},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Code(**wrong)


FORK = "import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        "
SLEEP = (
    "os.execv('PYTHON', ['python', '-c', 'import time; time.sleep(99)', 'MARK'])\n    os._exit(0)"
)


@pytest.mark.parametrize(
    "attack",
    [
        "import os\nwhile True:\n    os.fork()",  # fork bomb
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",  # that does not give up
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()",
        "while True: print('x' * 9999)",  # floods stdout
        "import sys\nwhile True: sys.stderr.write('x' * 9999)",  # and stderr
        "f = open('x', 'w')\nwhile True: f.write('x' * 9999)",  # fills one file
        "for n in range(10**9): open(str(n), 'w').write('x' * 9999)",  # many
        "x = []\nwhile True: x.append(bytearray(10**7))",  # memory
        "import os\nwhile True: os.write(os.memfd_create('x'), bytes(10**8))",  # memory as files
        "import time\ntime.sleep(99)",
        "while True: pass",
        "import signal, time\n[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 15, 24)]\nwhile True: pass",
        "import os, time\nos.close(0), os.close(1), os.close(2)\ntime.sleep(99)",  # nobody listens any more
        "import os, time\n[os.close(n) for n in range(3, 64) if not os.get_inheritable(n)]\ntime.sleep(99)",
        "x = 9 ** 9 ** 9",  # one long instruction
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
        "import ctypes\nctypes.string_at(0)",  # segmentation fault
        "import os\nos.kill(os.getppid(), 9)\nos.kill(1, 15)",  # its parent
        "import os\nos.kill(-1, 9)",  # everyone
        "import os\nos.kill(0, 9)",  # its group
        FORK + SLEEP,  # a daemon
        FORK + SLEEP + "\nwhile True: pass",  # with its parent
        "import os\nfor d in ('HOME', 'CWD', '/dev', '/var/tmp', '/etc', '/', '/usr/lib', 'PREFIX', '/..'):\n"
        "    try: os.open(d + '/MARK', os.O_CREAT | os.O_RDWR)\n    except OSError: continue\n    exit(print('out'))",
        "open('/tmp/MARK', 'w'), open('/dev/shm/MARK', 'w')\nraise SystemExit('only its own folder')",
        "print(open('SECRET').read() and 'out')",  # a file of the host
        "import os\nos.symlink('SECRET', 'x')\nprint(open('x').read() and 'out')",
        "import os\n'NAME' in os.listdir('HOME') and print('out')",  # what there is
        "import os\nprint('out' if 'SECRET_KEY' in os.environ else '')",  # the trainer's environment
        # open files
        "import os\nfor n in range(3, 9999):\n    try: os.fstat(n)\n    except OSError: continue\n    exit(print('out'))",
        "import os\nos.listdir('/proc') and print('out')",  # other processes
        "open('/proc/self/mem', 'r+b') and print('out')",
        "import socket\nsocket.create_connection(('127.0.0.1', PORT), 1) and print('out')",
        "import socket\nsocket.create_connection(('1.1.1.1', 53), 1) and print('out')",
        "import os\nos.setuid(0) or print('out')",
        "import os\nos.chroot('/tmp') or print('out')",
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1)) or print('out')",
        # unshare(CLONE_NEWUSER), mount(remount rw), ptrace(PTRACE_ATTACH, 1)
        "import ctypes\nctypes.CDLL(None).unshare(0x10000000) == 0 and print('out')",
        "import ctypes\nctypes.CDLL(None).mount(b'', b'/', b'', 32, b'') == 0 and print('out')",
        "import ctypes\nctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0 and print('out')",
    ],
)
def test_an_attack_neither_pays_nor_lasts_nor_leaves_anything(attack, monkeypatch):
    require_protections(unprotected=False)
    mark = f"mark{next(MARKS)}"
    monkeypatch.setenv("SECRET_KEY", "x")
    home = Path.home() if os.access(Path.home(), os.W_OK) else Path(tempfile.gettempdir())
    limits = {"timeout_seconds": 0.7, "memory_mb": MEMORY_MB, "processes": 4}
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        tempfile.NamedTemporaryFile("w", dir=home) as secret,
    ):
        secret.write("out")
        secret.flush()
        os.chmod(secret.name, 0o644)  # so that only the sandbox hides it
        words = {
            "MARK": mark,
            "HOME": str(home),
            "CWD": os.getcwd(),
            "PREFIX": sys.base_prefix,
            "SECRET": secret.name,
            "NAME": Path(secret.name).name,
        }
        words |= {"PORT": str(server.getsockname()[1]), "PYTHON": PYTHON}
        for word, value in words.items():
            attack = (
                attack.replace(f"'{word}", f"'{value}")
                .replace(f"/{word}", f"/{value}")
                .replace(f" {word})", f" {value})")
            )
        started = time.monotonic()
        assert (
            Code(**limits)(
                completion=answered(f"# {mark}\n{attack}"), tests=[{"input": "", "output": "out"}]
            )
            == 0.0
        )
        assert time.monotonic() - started < 0.7 + 2  # a loaded machine sets up slowly
    assert not left_running(mark) and not left_running(f"AS={MEMORY_MB << 20}")
    assert not [
        d
        for d in (home, ".", "/tmp", "/dev/shm", "/var/tmp", "/etc", "/", "/dev")
        if Path(d, mark).exists()
    ]


def test_the_attacks_would_pay_without_the_sandbox(monkeypatch):
    with tempfile.NamedTemporaryFile("w") as secret:
        secret.write("out")
        secret.flush()
        os.chmod(secret.name, 0o644)  # so that only the sandbox hides it
        program, tests = f"print(open({secret.name!r}).read())", [{"input": "", "output": "out"}]
        assert Code()(completion=answered(program), tests=tests) == 0.0
        without_tools(monkeypatch)
        assert Code(unprotected=True)(completion=answered(program), tests=tests) == 1.0


def without_tools(monkeypatch):
    """A machine without `unshare`."""
    monkeypatch.setattr(sandbox, "_PATH", "/nowhere")
    monkeypatch.setattr(sandbox, "protections", protections.__wrapped__)


def test_without_protections_nothing_runs_until_the_recipe_says_so(monkeypatch):
    without_tools(monkeypatch)
    with pytest.raises(SandboxError, match=r"missing: own user, no network.*unprotected: true"):
        Code().score_batch([answered("print(3)")], [{"tests": SUM}])
    assert (
        Code(unprotected=True, partial_credit=True)(completion=answered("print(3)"), tests=SUM)
        == 0.5
    )
    limits = Limits(timeout_seconds=0.5, memory_mb=300, output_kb=1)
    for program, status in {
        "while True: pass": "timeout",
        "print('x' * 9999)": "output",
        "bytearray(10**9)": "memory",
    }.items():
        assert run_program(program, "", limits, unprotected=True).status == status
    assert "UNPROTECTED" in str(require_protections(unprotected=True))


def test_statuses_tell_what_ended_a_program_and_a_broken_sandbox_is_not_a_wrong_program(
    monkeypatch,
):
    limits = Limits(timeout_seconds=0.5, memory_mb=300, output_kb=1)
    for program, status in {
        "": "ok",
        "1 / 0": "error",
        "exit(3)": "error",
        "while True: pass": "timeout",
    }.items():
        assert (
            run_program(program, "x" * 10**6, limits).status == status
        )  # an input that is not read
    assert run_program("bytearray(10**9)", "", limits).status == "memory"
    assert len(run_program("print('x' * 10**7)", "", limits).stdout) == 1024
    assert run_program("print(len(input()))", "x" * 10**6, limits).stdout == "1000000\n"
    assert "ZeroDivisionError" in run_program("1 / 0").stderr
    monkeypatch.setattr(namespaces, "SETUP", "echo no space left >&2; exit 0")
    with pytest.raises(SandboxError, match="no space left"):
        run_program("print(3)")
    judged = Code().score_batch([answered("print(3)"), "no trace"], [{"tests": SUM}] * 2)
    assert (judged.scores, judged.failed, judged.timed_out) == ([None, 0.0], 1, 0)


def test_a_batch_of_hanging_programs_takes_one_limit_per_core():
    started = time.monotonic()
    judged = Code(timeout_seconds=1, partial_credit=True).score_batch(
        [answered("while True: pass")] * 4, [{"tests": SUM * 5}] * 4
    )
    assert (judged.scores, judged.timed_out) == ([0.0] * 4, 4)
    assert time.monotonic() - started < 4 * 1 / min(4, os.cpu_count()) + 2


def test_nothing_is_left_running_when_the_trainer_is_killed():
    mark = f"mark{next(MARKS)}"
    attack = "import os, sys, time, ctypes\\nctypes.CDLL(None).prctl(1, 0)\\nos.fork()\\nos.setsid() if os.fork() else 0\\n"
    attack += f"os.execv(sys.executable, ['python', '-c', 'import time; time.sleep(99)', '{mark}'])"
    trainer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f'from rewards.isolation.sandbox import *; run_program("{attack}", "", Limits(60))',
        ]
    )
    until(lambda: len(left_running(mark)) > 2)  # the trainer itself is one
    os.kill(trainer.pid, signal.SIGKILL)
    trainer.wait()
    until(lambda: not left_running(mark))


def until(happened):
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)
