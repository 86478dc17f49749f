"""What a program can and cannot do to the machine and to its score.

Real runs of real attacks: where a protection is missing, they fail.
"""

import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from rewards.correctness.code import Code
from rewards.isolation import namespaces, sandbox, sandbox_process
from rewards.isolation.namespaces import PYTHON, Limits
from rewards.isolation.sandbox import probe_protections, require_protections, run_program
from rewards.isolation.sandbox_process import SandboxError
from tests.support.programs import answered_program, needs_sandbox

MARKS = itertools.count(os.getpid() * 1000)
# Appears in the command line of each program, different for each of pytest's workers: finds what is
# left of our attacks.
MEMORY_MB = 400 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
LIMITS = Limits(timeout_seconds=0.5, memory_mb=300, output_kb=1)

pytestmark = needs_sandbox


def left_running(mark):
    """The processes with this mark in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue  # it ended meanwhile
        if mark.encode() in words:
            found.append(path.parent.name)
    return found


def test_the_protections_are_described():
    description = str(require_protections(unprotected=False))
    assert "no network, own process ids, read-only files" in description


FORK = "import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        "
SLEEP = (
    "os.execv('PYTHON', ['python', '-c', 'import time; time.sleep(99)', 'MARK'])\n    os._exit(0)"
)


@pytest.mark.parametrize(
    "attack",
    [
        "import os\nwhile True:\n    os.fork()",  # fork bomb
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",  # never gives up
        "import threading, time\n"
        "while True: threading.Thread(target=time.sleep, args=(99,)).start()",
        "while True: print('x' * 9999)",  # floods stdout
        "import sys\nwhile True: sys.stderr.write('x' * 9999)",  # and stderr
        "f = open('x', 'w')\nwhile True: f.write('x' * 9999)",  # fills one file
        "for n in range(10**9): open(str(n), 'w').write('x' * 9999)",  # many
        "x = []\nwhile True: x.append(bytearray(10**7))",  # memory
        "import os\nwhile True: os.write(os.memfd_create('x'), bytes(10**8))",  # memory as files
        "import time\ntime.sleep(99)",
        "while True: pass",
        "import signal, time\n"
        "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 15, 24)]\nwhile True: pass",
        "import os, time\nos.close(0), os.close(1), os.close(2)\ntime.sleep(99)",  # shuts its pipes
        "import os, time\n"
        "[os.close(n) for n in range(3, 64) if not os.get_inheritable(n)]\ntime.sleep(99)",
        "x = 9 ** 9 ** 9",  # one long instruction
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
        "import ctypes\nctypes.string_at(0)",  # segmentation fault
        "import os\nos.kill(os.getppid(), 9)\nos.kill(1, 15)",  # its parent
        "import os\nos.kill(-1, 9)",  # everyone
        "import os\nos.kill(0, 9)",  # its group
        FORK + SLEEP,  # a daemon
        FORK + SLEEP + "\nwhile True: pass",  # with its parent
        # files outside its own folder
        "import os\n"
        "for d in ('HOME', 'CWD', '/dev', '/var/tmp', '/etc', '/', '/usr/lib', 'PREFIX', '/..'):\n"
        "    try: os.open(d + '/MARK', os.O_CREAT | os.O_RDWR)\n"
        "    except OSError: continue\n"
        "    exit(print('out'))",
        "open('/tmp/MARK', 'w'), open('/dev/shm/MARK', 'w')\n"
        "raise SystemExit('only its own folder')",
        "print(open('SECRET').read() and 'out')",  # a file of the host
        "import os\nos.symlink('SECRET', 'x')\nprint(open('x').read() and 'out')",
        "import os\n'NAME' in os.listdir('HOME') and print('out')",  # what there is
        "import os\nprint('out' if 'SECRET_KEY' in os.environ else '')",  # the environment
        # open files
        "import os\nfor n in range(3, 9999):\n    try: os.fstat(n)\n"
        "    except OSError: continue\n    exit(print('out'))",
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
        # memory and objects that count against no limit: System V's
        "import ctypes\nctypes.CDLL(None).shmget(0, 1 << 30, 0o1600) >= 0 and print('out')",
        "import ctypes\nctypes.CDLL(None).msgget(0, 0o1600) >= 0 and print('out')",
        "import ctypes\nctypes.CDLL(None).semget(0, 32000, 0o1600) >= 0 and print('out')",
        "import socket\nsocket.socket(socket.AF_VSOCK) and print('out')",  # the host
    ],
)
def test_an_attack_neither_pays_nor_lasts_nor_leaves_anything(attack, monkeypatch):
    require_protections(unprotected=False)
    mark = f"mark{next(MARKS)}"
    monkeypatch.setenv("SECRET_KEY", "x")
    home = Path.home() if os.access(Path.home(), os.W_OK) else Path(tempfile.gettempdir())
    reward = Code(timeout_seconds=0.7, memory_mb=MEMORY_MB, processes=4)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        tempfile.NamedTemporaryFile("w", dir=home) as secret,
    ):
        secret.write("out")
        secret.flush()
        os.chmod(secret.name, 0o644)  # so that only the sandbox hides it
        targets = {
            "MARK": mark,
            "HOME": str(home),
            "CWD": os.getcwd(),
            "PREFIX": sys.base_prefix,
            "SECRET": secret.name,
            "NAME": Path(secret.name).name,
            "PORT": str(server.getsockname()[1]),
            "PYTHON": PYTHON,
        }
        program = f"# {mark}\n{fill_in(attack, targets)}"

        # The attack never earns a point, and ends within its time limit.
        started = time.monotonic()
        tests = [{"input": "", "output": "out"}]
        assert reward(completion=answered_program(program), tests=tests) == 0.0
        assert time.monotonic() - started < 0.7 + 2  # a loaded machine sets up slowly

    # No process and no file of it is left.
    assert not left_running(mark)
    assert not left_running(f"AS={MEMORY_MB << 20}")
    folders = (home, ".", "/tmp", "/dev/shm", "/var/tmp", "/etc", "/", "/dev")
    assert not [folder for folder in folders if Path(folder, mark).exists()]


def fill_in(attack, targets):
    """The attack with its words in capitals replaced: 'WORD, /WORD and ` WORD)`."""
    for word, value in targets.items():
        attack = attack.replace(f"'{word}", f"'{value}")
        attack = attack.replace(f"/{word}", f"/{value}")
        attack = attack.replace(f" {word})", f" {value})")
    return attack


def test_the_attacks_would_pay_without_the_sandbox(monkeypatch):
    with tempfile.NamedTemporaryFile("w") as secret:
        secret.write("out")
        secret.flush()
        os.chmod(secret.name, 0o644)  # so that only the sandbox hides it
        completion = answered_program(f"print(open({secret.name!r}).read())")
        tests = [{"input": "", "output": "out"}]
        assert Code()(completion=completion, tests=tests) == 0.0
        remove_tools(monkeypatch)
        assert Code(unprotected=True)(completion=completion, tests=tests) == 1.0


def remove_tools(monkeypatch):
    """Makes this a machine without `unshare`."""
    monkeypatch.setattr(sandbox_process, "SEARCH_PATH", "/nowhere")
    monkeypatch.setattr(sandbox, "protections", probe_protections)


def test_without_protections_nothing_runs_unless_the_recipe_allows_it(monkeypatch):
    remove_tools(monkeypatch)
    completion = answered_program("print(3)")
    tests = [{"input": "", "output": "3\n"}, {"input": "", "output": "12\n"}]
    with pytest.raises(SandboxError, match=r"missing: own user, no network.*unprotected: true"):
        Code().score_batch([completion], [{"tests": tests}])
    reward = Code(unprotected=True, partial_credit=True)
    assert reward(completion=completion, tests=tests) == 0.5
    assert "UNPROTECTED" in str(require_protections(unprotected=True))


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("while True: pass", "timeout"),
        ("print('x' * 9999)", "output"),
        ("bytearray(10**9)", "memory"),
    ],
)
def test_the_limits_hold_without_protections(program, status, monkeypatch):
    remove_tools(monkeypatch)
    assert run_program(program, "", LIMITS, unprotected=True).status == status


@pytest.mark.parametrize(
    ("program", "status"),
    [("", "ok"), ("1 / 0", "error"), ("exit(3)", "error"), ("while True: pass", "timeout")],
)
def test_the_status_tells_what_ended_a_program_that_does_not_read_its_input(program, status):
    assert run_program(program, "x" * 10**6, LIMITS).status == status


def test_memory_output_and_input_have_their_limits():
    assert run_program("bytearray(10**9)", "", LIMITS).status == "memory"
    assert len(run_program("print('x' * 10**7)", "", LIMITS).stdout) == 1024
    assert run_program("print(len(input()))", "x" * 10**6, LIMITS).stdout == "1000000\n"
    assert "ZeroDivisionError" in run_program("1 / 0").stderr


def test_packages_are_visible_and_read_only_in_a_folder_with_spaces(tmp_path):
    folder = tmp_path / "my own packages"
    (folder / "package").mkdir(parents=True)
    (folder / "package" / "__init__.py").write_text("VALUE = 42")
    tmp_path.chmod(0o755)
    program = (
        f"import sys\nsys.path.insert(0, {str(folder)!r})\nimport package\nprint(package.VALUE)\n"
        f"open({str(folder / 'new')!r}, 'w')"
    )
    result = run_program(program, packages=(str(folder),))
    assert result.stdout == "42\n"
    assert "Read-only file system" in result.stderr
    assert run_program(program).stdout == ""  # without being named, they are not there


def test_a_machine_whose_system_calls_cannot_be_filtered_is_not_protected(monkeypatch):
    monkeypatch.setattr(namespaces, "seccomp_filter", bytes)
    assert "no System V IPC" in probe_protections().missing


def test_a_broken_sandbox_is_an_error_with_its_reason(monkeypatch):
    monkeypatch.setattr(namespaces, "SETUP", "echo no space left >&2; exit 0")
    with pytest.raises(SandboxError, match="no space left"):
        run_program("print(3)")


def test_nothing_is_left_running_when_the_trainer_is_killed():
    mark = f"mark{next(MARKS)}"
    attack = (
        "import os, sys, time, ctypes\\n"
        "ctypes.CDLL(None).prctl(1, 0)\\n"  # it is not to die with its parent
        "os.fork()\\n"
        "os.setsid() if os.fork() else 0\\n"
        f"os.execv(sys.executable, ['python', '-c', 'import time; time.sleep(99)', '{mark}'])"
    )
    script = f'from rewards.isolation.sandbox import *; run_program("{attack}", "", Limits(60))'
    trainer = subprocess.Popen([sys.executable, "-c", script])
    wait_until(lambda: len(left_running(mark)) > 2)  # the trainer itself is one
    os.kill(trainer.pid, signal.SIGKILL)
    trainer.wait()
    wait_until(lambda: not left_running(mark))


def wait_until(happened):
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)
