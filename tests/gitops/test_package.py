"""What a pipeline may install: one exact package of ours, and nothing that a shell, YAML or pip reads otherwise."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from reconciler import package, scaffold
from tests.gitops.runner import ROOT, make_tools

if TYPE_CHECKING:
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HASH = "--hash=sha256:" + "ab" * 32
WHEEL = "aep_reconciler-0.1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("aep-reconciler==1.2.3", "pip install 'aep-reconciler==1.2.3'"),
        ("aep-reconciler==1.2.3rc1", "pip install 'aep-reconciler==1.2.3rc1'"),
        (f"aep-reconciler==1.2.3 {HASH} {HASH}", f"echo 'aep-reconciler==1.2.3 {HASH} {HASH}' \\"),
        (
            f"git+https://git.example:8443/a/b.git@{COMMIT}",
            f"pip install 'aep-reconciler @ git+https://git.example:8443/a/b.git@{COMMIT}'",
        ),
    ],
)
def test_what_is_exact_is_taken(tmp_path: Path, spec: str, line: str) -> None:
    assert line in package.installation(spec, tmp_path, tmp_path).splitlines()


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "reconciler",
        "reconciler==0.1.0",
        "aep-reconciler",
        "aep-reconciler>=1.2",
        "aep-reconciler==1.*",
        "aep-reconciler===1.2",
        "aep-reconciler==1.2.3,!=1",
        "aep-reconciler==1.2.3\n",
        "aep-reconciler==1.2.3\nevil==1",
        "aep-reconciler==1.2.3 evil==1",
        "aep-reconciler==1.2.3 --index-url=https://x.example",
        "aep-reconciler==1.2.3 --hash=sha256:abc",
        "aep-reconciler==1.2.3 --hash=md5:" + "ab" * 16,
        "aep-reconciler==1.2.3; python_version > '3'",
        "aep-reconciler==\uff11.2.3",
        "--index-url=https://x.example",
        "-r requirements.txt",
        "-e .",
        ".",
        "git+https://git.example/a/b.git",
        "git+https://git.example/a/b.git@main",
        f"git+https://git.example/a/b.git@{COMMIT[:12]}",
        f"git+https://git.example/a/b.git@{COMMIT}#egg=evil",
        f"git+https://git.example/a/b.git@{COMMIT} evil",
        f"git+https://me:s3cret@git.example/a/b.git@{COMMIT}",
        f"git+ssh://git@git.example/a/b.git@{COMMIT}",
        f"git+file:///tmp/b@{COMMIT}",
        f"https://files.example/{WHEEL}",
        "$(id).whl",
        '"; id; ".whl',
        "${{ github.token }}.whl",
        "a b.whl",
        f"missing/{WHEEL}",
        "other-1.0-py3-none-any.whl",
        "reconciler-0.1.0-py3-none-any.whl",
        f"../{WHEEL}",
        f"link/{WHEEL}",
        WHEEL,
        "folder.whl",
        "unhashed.txt",
        "another.txt",
    ],
)
def test_what_is_not_exact_is_refused_with_a_sentence(tmp_path: Path, spec: str) -> None:
    """`WHEEL` itself is a link here, and the two text files name us without a hash, or another package with one."""
    root = tmp_path / "root"
    (root / "folder.whl").mkdir(parents=True)
    (tmp_path / WHEEL).write_bytes(b"wheel")
    (root / "link").symlink_to(tmp_path)
    (root / WHEEL).symlink_to("other-1.0-py3-none-any.whl")
    for name in ("other-1.0-py3-none-any.whl", "reconciler-0.1.0-py3-none-any.whl"):
        (root / name).write_bytes(b"wheel")
    (root / "unhashed.txt").write_text("aep-reconciler==1.2.3\n", encoding="utf-8")
    (root / "another.txt").write_text(f"aep-reconciler==1.2.3\nevil==1 {HASH}\n", encoding="utf-8")

    with pytest.raises(ValueError, match=r"\w+ \w+ \w+"):
        package.installation(spec, root, root)


def test_a_wheel_in_the_repository_is_named_from_its_top_with_its_hash(tmp_path: Path) -> None:
    (tmp_path / "crm").mkdir()
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / WHEEL).write_bytes(b"wheel")

    lines = package.installation(f"../vendor/{WHEEL}", tmp_path / "crm", tmp_path)

    assert f"echo './vendor/{WHEEL} --hash=sha256:{sha256(b'wheel').hexdigest()}' \\\n" in lines


def test_a_requirements_file_with_hashes_is_taken(tmp_path: Path) -> None:
    (tmp_path / "ci.txt").write_text(f"click==8.2 \\\n  {HASH}\naep-reconciler==1.2.3 \\\n  {HASH}\n", encoding="utf-8")

    assert package.installation("ci.txt", tmp_path, tmp_path) == "pip install --require-hashes --requirement ./ci.txt"


@pytest.mark.parametrize(
    ("spec", "asked"),
    [
        ("aep-reconciler==1.2.3", ["install aep-reconciler==1.2.3"]),
        (
            f"git+https://git.example/a/b.git@{COMMIT}",
            [f"install aep-reconciler @ git+https://git.example/a/b.git@{COMMIT}"],
        ),
        (
            f"vendor/{WHEEL}",
            [
                "download --require-hashes --no-deps --only-binary :all: --dest F --requirement /dev/stdin",
                f"./vendor/{WHEEL} --hash=sha256:{sha256(b'wheel').hexdigest()}",
                "install F/*.whl",
            ],
        ),
        ("ci.txt", ["install --require-hashes --requirement ./ci.txt"]),
    ],
)
@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_the_pipeline_asks_pip_for_just_this_and_checks_hashes(
    tmp_path: Path, ci: str, spec: str, asked: list[str]
) -> None:
    root = tmp_path / "root"
    (root / "vendor").mkdir(parents=True)
    (root / "vendor" / WHEEL).write_bytes(b"wheel")
    (root / "ci.txt").write_text(f"aep-reconciler==1.2.3 {HASH}\n", encoding="utf-8")
    scaffold.write(root, scaffold.Pipeline(ci, package.installation(spec, root, root)))
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    tools = make_tools(tmp_path / "tools")

    subprocess.run(
        ["bash", "-eo", "pipefail", "-c", _script(root, ci)],
        cwd=root,
        env={"PATH": f"{tools}:/usr/bin:/bin", "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        check=True,
    )

    calls = (tools / "python.log").read_text(encoding="utf-8").splitlines()
    common = "--quiet --disable-pip-version-check --no-input "
    folder = re.compile(rf"{re.escape(str(tmp_path))}/tmp\.\w+")
    assert [folder.sub("F", each.removeprefix(common)) for each in calls] == asked


def _script(root: Path, ci: str) -> str:
    """What installs reconciler."""
    if ci == "gitlab":
        pipeline: dict[str, Any] = yaml.safe_load((root / ".gitlab-ci.yml").read_text(encoding="utf-8"))
        return str(pipeline["default"]["before_script"][0])
    action = yaml.safe_load((root / ".github/actions/reconciler/action.yml").read_text(encoding="utf-8"))
    (script,) = (step["run"] for step in action["runs"]["steps"] if step.get("name") == "Install")
    return str(script)


@pytest.mark.parametrize(
    ("origin", "spec"),
    [
        (
            {"url": "https://git.example/a/b.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
            f"git+https://git.example/a/b.git@{COMMIT}",
        ),
        ({"url": "file:///home/me/b", "dir_info": {"editable": True}}, None),
        ({"url": "https://me:s3cret@git.example/b.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}, None),
        ("garbage", None),
    ],
)
def test_an_installation_says_where_it_came_from_only_if_that_is_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: object, spec: str | None
) -> None:
    about = tmp_path / "aep_reconciler-9.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: aep-reconciler\nVersion: 9\n", encoding="utf-8")
    (about / "direct_url.json").write_text(json.dumps(origin), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert package.installed_from() == spec


def test_the_distribution_has_a_name_of_its_own() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [need for needs in project["optional-dependencies"].values() for need in needs]

    assert project["name"] == package.NAME
    assert project["scripts"] == {"reconciler": "reconciler.__main__:main"}
    assert [need for need in extras if need.startswith("reconciler")] == []


def test_no_text_tells_anybody_to_install_another_project() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    here = "tests/gitops/test_package.py"
    from_index = re.compile(
        r"(?:\binstall\b[^\n`&|;]*?|\b(?:uvx|pipx run|uv add|uv tool run)\s+)"
        r"(?<![\w./-])reconciler(?=[\s'\"`=<>~!\[]|$)"
        r"|(?<![\w./-])reconciler(?:\[[\w,]+\])?(?:==|>=|~=)"
    )
    found = {}
    for name in filter(None, listed.split("\0")):
        if name != here and (ROOT / name).is_file():
            text = (ROOT / name).read_bytes().decode(errors="replace")
            lines = [line for line in text.splitlines() if "pip" in line or "uv" in line or "==" in line]
            if hits := [line for line in lines if from_index.search(line)]:
                found[name] = hits
    assert found == {}
