# pathlib would double the time that this takes to start:
# ruff: noqa: PTH116, PTH118, PTH123
"""Starts one of PostgreSQL's programs as somebody it accepts. Run as a script, by path; it imports the standard library only.

    python -I -S launch.py run   FOLDER PROGRAM ARGUMENT…           becomes the program
    python -I -S launch.py serve FOLDER LOCK PROGRAM ARGUMENT…      starts it, and lets it live once a line arrives on stdin

PostgreSQL refuses to run as root, and initdb wants a user that the machine knows by name. So root becomes the owner of FOLDER, or
`nobody` where that is root, and keeps one right, CAP_DAC_OVERRIDE: the programs and the data may lie under folders that only root
may enter (`/root`), and the data's own parent is such a folder, so that nobody else who runs as `nobody` reaches it. Where a
container withholds these rights, and for a user without a name, a user namespace does the same: in it the process looks as if it
were `nobody`, and its files stay its own.

This is a script, not a function between fork and exec, because the child of a process with threads must not run Python.
"""

import ctypes
import os
import pwd
import signal
import sys

NOBODY = 65534
_CAP_CHOWN, _CAP_DAC_OVERRIDE, _CAP_SETGID, _CAP_SETUID, _CAP_SETPCAP = 0, 1, 6, 7, 8
_PR_SET_SECUREBITS, _NO_SETUID_FIXUP = 28, 4  # rights outlast setuid, and hold in access(2) too, by which initdb looks for postgres
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITY_VERSION = 0x20080522  # linux/capability.h: two 32-bit words per set
_CLONE_NEWUSER = 0x10000000


def _call(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _keep_one_right(folder: str) -> None:
    """Becomes the folder's owner (nobody, where that is root), keeping the right to pass closed folders."""
    owner = os.stat(folder)
    uid, gid = (owner.st_uid, owner.st_gid) if owner.st_uid != 0 else (NOBODY, NOBODY)
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/status") as status:
        held = next(int(line.split()[1], 16) for line in status if line.startswith("CapPrm:"))
    if any(not held >> right & 1 for right in (_CAP_CHOWN, _CAP_DAC_OVERRIDE, _CAP_SETGID, _CAP_SETUID, _CAP_SETPCAP)):
        raise PermissionError("root without its rights")
    for path, folders, files in os.walk(folder) if owner.st_uid != uid else ():
        os.chown(path, uid, gid)
        for name in folders + files:
            os.chown(os.path.join(path, name), uid, gid, follow_symlinks=False)
    _call(libc.prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    header, right = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), 1 << _CAP_DAC_OVERRIDE
    _call(libc.capset(header, (ctypes.c_uint32 * 6)(right, right, right, 0, 0, 0)))  # effective, permitted, inheritable
    _call(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0))


def _look_like_nobody() -> None:
    """Enters a user namespace in which this user goes by `nobody`'s number."""
    uid, gid = os.geteuid(), os.getegid()
    _call(ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {uid} 1"), ("gid_map", f"{NOBODY} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _become_acceptable(folder: str) -> None:
    refused = f"user {os.geteuid()} has no name in /etc/passwd"
    if os.geteuid() == 0:
        try:
            _keep_one_right(folder)
        except OSError as problem:
            refused = f"this root cannot become another user: {problem}"
        else:
            return
    elif _has_name(os.geteuid()):
        return
    try:
        _look_like_nobody()
    except OSError as problem:
        sys.exit(f"FATAL: PostgreSQL refuses this user ({refused}; nor is there a user namespace: {problem})")


def main(mode: str, folder: str, *rest: str) -> None:
    """See the module."""
    os.umask(0o077)
    _become_acceptable(folder)
    if mode == "run":
        os.execv(rest[0], rest)  # noqa: S606
    lock, command = int(rest[0]), rest[1:]
    server = os.fork()
    if server == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execv(command[0], command)  # noqa: S606
    os.close(lock)  # from here on the server's processes alone hold it
    if not sys.stdin.readline():  # whoever started it died, or gave up, before the server could stop by itself
        os.kill(server, signal.SIGINT)
        os.waitpid(server, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
