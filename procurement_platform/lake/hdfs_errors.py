"""HDFS's errors as Python's, and which of them may pass."""

import errno
import http.client
import os
import re
import socket

from procurement_platform.transient import words_pass, words_stay

_KINDS: dict[str, tuple[type[OSError], int]] = {
    "FileNotFoundException": (FileNotFoundError, errno.ENOENT),
    "PathNotFoundException": (FileNotFoundError, errno.ENOENT),
    "FileAlreadyExistsException": (FileExistsError, errno.EEXIST),
    "AccessControlException": (PermissionError, errno.EACCES),
    "ParentNotDirectoryException": (NotADirectoryError, errno.ENOTDIR),
    "PathIsNotDirectoryException": (NotADirectoryError, errno.ENOTDIR),
    "PathIsNotEmptyDirectoryException": (OSError, errno.ENOTEMPTY),
}

_PATH = re.compile(r"(?<!\w)/\S*")


class HdfsError(OSError):
    """HDFS refused, in the words of the Java class that did. `path` is what it was asked about."""

    def __init__(self, words: str, path: str = "") -> None:
        super().__init__(words)
        self._path = path

    @property
    def without_paths(self) -> str:
        """Its words without the paths among them: markets name files, and `DE__timeout.avro` says nothing of HDFS."""
        words = str(self)
        return _PATH.sub("", words.replace(self._path, "") if self._path else words)


class Replaced(OSError):
    """A file that is another one than when its reading began."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ESTALE, "replaced by another file while it was being read", path)


def as_python(java: str, message: str, path: str) -> OSError:
    """The error a local file system would raise where HDFS raised a Java class; its words' first line stays."""
    words = message.splitlines()[0].strip() if message.strip() else ""
    name = java.rpartition(".")[2]
    if name in _KINDS:
        kind, number = _KINDS[name]
        plain = os.strerror(number) if kind is FileNotFoundError else words or os.strerror(number)
        return kind(number, plain, path)
    return HdfsError(f"{path}: {name}: {words}", path)


def may_pass(problem: BaseException) -> bool:
    """Whether an error of HDFS may be gone a little later: it is tried again then, and others are not."""
    if isinstance(problem, (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)):
        return False
    if isinstance(problem, (ConnectionError, TimeoutError, http.client.HTTPException)):
        return True
    if isinstance(problem, socket.gaierror):
        return problem.errno == socket.EAI_AGAIN
    if isinstance(problem, HdfsError):
        return words_pass(problem.without_paths)
    # What hdfs-native says of its sockets has no number; what the local disk says has one.
    return type(problem) is OSError and problem.errno is None and not words_stay(str(problem))
