"""What a pipeline installs: one exact package, which a person names. Nothing is guessed: its job holds the credentials.

Three of the four kinds come as one file of ours, and its dependencies from the index: then a hash can only be asked for
that file (`pip` asks for all hashes or for none). Who wants all of them pinned writes a requirements file.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING

from reconciler.files.inside import is_inside, open_regular

if TYPE_CHECKING:
    from pathlib import Path

NAME = "aep-reconciler"
"""The name of the distribution. `reconciler` on the index is another project."""

KINDS = (
    f"`{NAME}==1.2.3` (with `--hash=sha256:…` for its wheel, if you have it), `git+https://HOST/PATH@COMMIT` with all "
    "40 digits of the commit, the path of a wheel in this repository, or the path of a requirements file in it "
    "(`.txt`) with a hash for each package"
)

_VERSION = r"[0-9]+(?:\.[0-9]+)*(?:(?:a|b|rc)[0-9]+)?(?:\.post[0-9]+)?(?:\.dev[0-9]+)?"
_RELEASE = re.compile(rf"{NAME}=={_VERSION}(?: --hash=sha256:[0-9a-f]{{64}})*")
_COMMIT = re.compile(r"git\+https://[A-Za-z0-9.-]+(?::[0-9]+)?(?:/[A-Za-z0-9._~-]+)+@[0-9a-f]{40}")
_FILE = re.compile(r"(?:[A-Za-z0-9._][A-Za-z0-9._+-]*/)*[A-Za-z0-9_][A-Za-z0-9._+-]*\.(?:whl|txt)")
_WHEEL = re.compile(rf"{NAME.replace('-', '_')}-[^-]+-[^-]+-[^-]+-[^-]+\.whl")
"""Nothing that these take has a meaning in YAML strings, in shell quotes, in workflow expressions or for Git."""


def installation(spec: str, root: Path, top: Path) -> str:
    """The shell lines that install what a person named, for a shell at `top`, the repository, where `pip` is pip.

    A path in `spec` is relative to `root`. Raises `ValueError` with a sentence for everything that is not exact.
    """
    if _RELEASE.fullmatch(spec):
        return _with_hashes(spec) if "--hash" in spec else f"pip install '{spec}'"
    if _COMMIT.fullmatch(spec):
        return f"pip install '{NAME} @ {spec}'"
    if _FILE.fullmatch(spec):
        return _of_file(spec, root / spec, top.resolve())
    if re.match(r"reconciler\b", spec):
        raise ValueError(f"`{spec}` would install another project of that name; take {KINDS}")
    raise ValueError(f"`{spec}` is not one exact package; take {KINDS}")


def _of_file(spec: str, path: Path, top: Path) -> str:
    if not is_inside(path, top):
        raise ValueError(f"`{spec}` is not in this repository, and a pipeline would not find it")
    place = path.resolve().relative_to(top).as_posix()
    if not _FILE.fullmatch(place):
        raise ValueError(f"`{place}` has a character that pip or a shell could take for something else; rename it")
    try:
        with open_regular(path) as file:
            data = file.read()
    except OSError as error:
        raise ValueError(f"`{spec}` cannot be read: {error.strerror}") from error
    if place.endswith(".txt"):
        if not re.search(rf"^{NAME}\b(?:[^\n]|\\\n)*--hash=sha256:", data.decode(errors="replace"), re.MULTILINE):
            raise ValueError(f"`{spec}` does not name `{NAME}` with a hash; `pip-compile --generate-hashes` writes it")
        return f"pip install --require-hashes --requirement ./{place}"
    if not _WHEEL.fullmatch(path.name):
        raise ValueError(f"`{spec}` is not a wheel of `{NAME}`: its name would begin with `{NAME.replace('-', '_')}-`")
    return _with_hashes(f"./{place} --hash=sha256:{sha256(data).hexdigest()}")


def _with_hashes(line: str) -> str:
    """Two steps, since pip asks for the hashes of all packages or of none: first our own file alone."""
    return f"""\
own=$(mktemp -d)
echo '{line}' \\
  | pip download --require-hashes --no-deps --only-binary :all: --dest "$own" --requirement /dev/stdin
pip install "$own"/*.whl"""


def installed_from() -> str | None:
    """The commit that this installation says that it was made from (PEP 610), as `installation` takes it."""
    try:
        origin = json.loads(distribution(NAME).read_text("direct_url.json") or "{}")
        spec = f"git+{origin['url']}@{origin['vcs_info']['commit_id']}"
    except (PackageNotFoundError, KeyError, TypeError, ValueError):
        return None
    return spec if _COMMIT.fullmatch(spec) else None
