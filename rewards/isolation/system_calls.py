"""The system calls that the sandbox closes, as a filter that the kernel runs (seccomp).

Namespaces leave open what is counted against no limit, or belongs to no namespace: System V's
shared memory, queues and semaphores; the keyring of the login session; AF_VSOCK, the line of a
virtual machine to its host; and io_uring, which would pass by this filter.
"""

import errno
import platform
import struct

_AF_VSOCK = 40

# By machine: the kernel's name of the architecture (AUDIT_ARCH_*), the number of `socket`, and the
# numbers of the calls that are refused: shmget, semget, msgget, add_key, request_key, keyctl,
# io_uring_setup. Without a `get`, the other calls of System V IPC have nothing to work on.
_NUMBERS = {
    "x86_64": (0xC000003E, 41, (29, 64, 68, 248, 249, 250, 425)),
    "aarch64": (0xC00000B7, 198, (194, 190, 186, 217, 218, 219, 425)),
}
_X32 = 0x40000000  # calls of x86_64 with 32-bit pointers have numbers of their own, from here on

# Instructions of the filter, and offsets in what it reads (struct seccomp_data).
_LOAD = 0x20
_JUMP_IF_EQUAL = 0x15
_JUMP_IF_AT_LEAST = 0x35
_RETURN = 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | errno.EPERM


def seccomp_filter() -> bytes:
    """The filter for this machine; empty for one whose numbers are not known here."""
    if platform.machine() not in _NUMBERS:
        return b""
    architecture, socket, refused = _NUMBERS[platform.machine()]

    # A jump skips as many instructions as it says, if it holds and if it does not.
    instructions = [
        # Programs of another architecture have other numbers: all they call is refused.
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _REFUSE),
        # The calls themselves.
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_IF_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _REFUSE),
    ]
    for number in refused:
        instructions += [(_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]

    # A socket is refused by its family, the first argument.
    instructions += [
        (_JUMP_IF_EQUAL, 1, 0, socket),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_IF_EQUAL, 0, 1, _AF_VSOCK),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *each) for each in instructions)
