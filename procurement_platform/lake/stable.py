"""A folder whose files change all at once: each is a link through one other link, `.current`, which names the folder they really lie in.

`{folder}/S1.csv` → `.current/S1.csv`, and `{folder}/.current` → `{run id}/csv`. Replacing `.current` is one rename: whoever opens the
files before it reads all of the old ones, after it all of the new ones, at whatever point the writer is killed
(docs/decisions/0009-links-to-the-current-run.md). The caller sees to it that nobody else writes the folder meanwhile. For local file
systems only.
"""

import shutil
from collections.abc import Collection
from pathlib import Path

CURRENT = ".current"
TAKEN_OVER = ".taken-over"


def switch(folder: Path, target: str, names: Collection[str]) -> list[str]:
    """Makes the folder's files those called `names` in its sub-folder `target`, in one step for those who open them.

    Links for new names come first (until the switch they lead nowhere: the file is not there), those that lead nowhere after it go last.
    Returns the names, in order, that were missing, damaged or not wanted.
    """
    (folder / target).mkdir(parents=True, exist_ok=True)
    if not (folder / CURRENT).is_symlink():
        _take_over(folder)
    mended = {name for name in (*names, *_real_files(folder)) if link(folder / name, f"{CURRENT}/{name}")}
    link(folder / CURRENT, target)
    for path in folder.iterdir():
        if path.name not in (CURRENT, *names) and (path.is_symlink() or path.is_file()):
            path.unlink()
            mended.add(path.name)
    shutil.rmtree(folder / TAKEN_OVER, ignore_errors=True)
    return sorted(mended)


def _take_over(folder: Path) -> None:
    """Makes real files, of a version without links or of a copy that followed them, the folder that `.current` names."""
    if (folder / CURRENT).is_dir():
        shutil.rmtree(folder / CURRENT)
    found = _real_files(folder)
    if found:
        shutil.rmtree(folder / TAKEN_OVER, ignore_errors=True)
        (folder / TAKEN_OVER).mkdir()
        for name in found:
            shutil.copy2(folder / name, folder / TAKEN_OVER / name)
        link(folder / CURRENT, TAKEN_OVER)


def _real_files(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if p.is_file() and not p.is_symlink() and not p.name.startswith(".")]


def link(path: Path, target: str) -> bool:
    """Makes a path a link, over whatever file it is, in one step; returns whether it was not that link already."""
    if path.is_symlink() and str(path.readlink()) == target:
        return False
    beside = path.with_name(f".{path.name}.part")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.replace(path)
    return True
