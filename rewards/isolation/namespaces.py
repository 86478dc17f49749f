"""Builds the command that starts a program in namespaces of its own.

`setpriv` and `unshare` (util-linux) run a shell that builds the file system, which runs Python.
Nothing of this repository is visible from inside, so what runs there is text here.
"""

import math
import os
import secrets
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from rewards.isolation.system_calls import seccomp_filter

PREFIX = os.path.realpath(sys.base_prefix)
PYTHON = f"{PREFIX}/bin/python{sys.version_info.major}.{sys.version_info.minor}"

# Who sets the sandbox up: the root user, an ordinary user in a user namespace, or nobody: then only
# the limits hold.
Launcher = Literal["root", "user", "none"]

# User ids that systemd's table (systemd.io/UIDS-GIDS) lists as unused.
_FIRST_UID = 0x70000000
_UIDS = 0x10000000
_NOBODY = 65534

# Becomes process 1. Everything is built on a tmpfs over /dev/shm, which every Linux has and where
# no Python is installed.
SETUP = r"""
set -e
uid=$1; status=$2; files_mb=$3; seconds=$4; folders=$5; binds=$6; links=$7; shift 7
read -r pid _ < /proc/self/stat  # the id by which the training process knows this one
echo "$pid" > "/proc/self/fd/$status"
IFS='
'  # the folders are lines: a path may hold spaces
mount -t tmpfs -o mode=755,size=4m view /dev/shm
cd /dev/shm
mkdir -p tmp dev etc
mount -t tmpfs \
  -o "mode=700,uid=$uid,gid=$uid,size=${files_mb}m,nr_inodes=1024,nosuid,nodev" tmp tmp
mkdir -p $folders  # after /tmp: packages may lie in it
touch dev/null
ln -s /tmp dev/shm  # multiprocessing keeps its semaphores there
ln -s /tmp/.stdin dev/stdin
for link in $links; do ln -s "${link#*=}" "./${link%%=*}"; done
cp /etc/ld.so.cache etc/ 2>/dev/null || true
for bind in $binds; do mount --rbind "$bind" "./$bind"; done
while IFS=' ' read -r _ _ _ _ target _; do  # each by itself: read-only does not reach those below
  case $target in
    /dev/shm/tmp) ;;
    /dev/shm|/dev/shm/*)  # \040 is how the kernel writes a space
      target=$(printf '%s' "$target" | sed 's/\\040/ /g')
      mount -o remount,bind,ro,nosuid,nodev "$target" ;;
  esac
done < /proc/self/mountinfo
mount --bind /dev/null dev/null
# When memory runs out, the kernel ends the program first, neither the trainer nor process 1.
exec timeout -s KILL "$seconds" \
  sh -c 'echo 1000 > /proc/self/oom_score_adj; exec setpriv --no-new-privs "$@"' sh "$@"
"""

# Starts the program. Its arguments are the limits; the program is the first part of its standard
# input. What follows becomes a file: programs ask for its size, and read it from the start again.
RUNNER = """
import builtins, os, resource, sys
size, status, folder, seccomp, *limits = sys.argv[1:]
os.chdir(folder)
text = b""
while len(text) < int(size):
    text += os.read(0, int(size) - len(text))
stdin = os.open(".stdin", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
while chunk := os.read(0, 1 << 16):
    os.write(stdin, chunk)
os.lseek(stdin, 0, os.SEEK_SET)
os.dup2(stdin, 0)
os.close(stdin)
sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
if seccomp:
    import ctypes, struct
    rules = ctypes.create_string_buffer(bytes.fromhex(seccomp))
    program = struct.pack("HP", len(seccomp) // 16, ctypes.addressof(rules))
    # PR_SET_SECCOMP, SECCOMP_MODE_FILTER. setpriv has set PR_SET_NO_NEW_PRIVS, which it needs.
    if ctypes.CDLL(None).prctl(22, ctypes.c_ulong(2), program):
        raise OSError("seccomp is not available")
sys.set_int_max_str_digits(0)  # results of many digits are printed and compared
for limit in limits:
    name, value = limit.split("=")
    try:
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (int(value), int(value)))
    except ValueError:
        pass  # the machine's own limit is lower, or macOS does not know this one
builtins.exit = builtins.quit = sys.exit
sys.argv, sys.modules["__main__"] = ["program.py"], type(sys)("__main__")
os.write(int(status), b"started\\n")
os.close(int(status))
exec(compile(text, "program.py", "exec"), sys.modules["__main__"].__dict__)
"""


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    Memory and file size are per process; `processes` counts threads too.
    """

    timeout_seconds: float = 5.0
    memory_mb: int = 512
    output_kb: int = 256
    processes: int = 4
    files_mb: int = 16

    @property
    def cpu_seconds(self) -> int:
        """Computing time, in whole seconds and above the wall-clock time: the last resort."""
        return math.ceil(self.timeout_seconds) + 1


@dataclass(frozen=True)
class Sent:
    """What a program gets.

    Attributes:
        program: its text.
        stdin: its standard input.
        packages: folders of Python packages that it can see, beside the standard library.
    """

    program: bytes
    stdin: bytes
    packages: tuple[str, ...] = ()


def build_command(
    launcher: Launcher, folder: str, sent: Sent, status: int, limits: Limits
) -> list[str]:
    """The command that runs a program, which it reads from standard input.

    Args:
        launcher: who sets the sandbox up.
        folder: the program's current folder.
        sent: the program and what it gets.
        status: the descriptor on which the start is reported.
        limits: what the program may use.
    """
    python = _python_command(launcher, folder, len(sent.program), status, limits)
    if launcher == "none":
        return python

    # New namespaces, which end with the thread of the training process that started them.
    words = ["setpriv", "--pdeathsig", "KILL", "unshare"]
    if launcher == "user":
        words += ["--user", "--map-root-user"]
    words += ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]

    # The shell that builds the file system in them. As root, each run gets a new user, so that no
    # other process counts against its limit of processes.
    uid = 0
    if launcher == "root":
        uid = _FIRST_UID + secrets.randbelow(_UIDS)
    # Process 1 gives up last, after the limit on computing time. The input is a file, too.
    files_mb = limits.files_mb + math.ceil(len(sent.stdin) / (1 << 20))
    folders = _visible_folders(sent.packages)
    arguments = (uid, status, files_mb, limits.cpu_seconds + 4, *folders)
    words += ["sh", "-c", SETUP, "setup", *map(str, arguments)]

    # The new root directory, and no rights of root in it.
    if launcher == "root":
        words += ["chroot", f"--userspec=+{uid}:+{uid}", "--groups=", "/dev/shm"]
    else:
        words += ["unshare", "--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}"]
        words.append("--root=/dev/shm")
    return [*words, *python]


def _python_command(
    launcher: Launcher, folder: str, size: int, status: int, limits: Limits
) -> list[str]:
    """The innermost command: Python, which sets the limits and then runs the program."""
    # Limits of the kernel, hard and soft: inside the sandbox, the program cannot raise them.
    bounds = {
        "AS": limits.memory_mb << 20,
        "FSIZE": limits.files_mb << 20,
        "CPU": limits.cpu_seconds,
        "NOFILE": 32,
        "CORE": 0,
    }
    # Counted per user: without a user of its own the program would count the trainer's threads.
    if launcher != "none":
        bounds["NPROC"] = limits.processes
    # System calls are filtered wherever there are namespaces, and not without them.
    calls = seccomp_filter().hex() if launcher != "none" else ""
    python = [PYTHON, "-s", "-S", "-P", "-X", "utf8", "-c", RUNNER]
    python += [str(size), str(status), folder, calls]
    return python + [f"{name}={value}" for name, value in bounds.items()]


@cache
def _visible_folders(packages: tuple[str, ...]) -> tuple[str, str, str]:
    """What is visible inside: folders to make, folders to mount, and links, as lines for SETUP."""
    # Python and the libraries it loads. Where /lib is a link to /usr/lib, it is a link inside too.
    system = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", PREFIX)
    paths = [Path(path) for path in (*system, *packages)]
    links = [path for path in paths if path.is_symlink()]
    folders = [path for path in paths if path.is_dir() and not path.is_symlink()]
    # A folder in another one of the list is visible already.
    outermost = [path for path in folders if not set(path.parents) & set(folders)]
    return (
        "\n".join(f".{path}" for path in outermost),
        "\n".join(str(path) for path in outermost),
        "\n".join(f"{path}={os.readlink(path)}" for path in links),
    )
