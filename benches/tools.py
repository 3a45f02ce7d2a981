"""The programs that a benchmark needs, and what is measured on."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from benches.lab import Failure, Lab, say

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "benches" / "peers" / "requirements.txt"


def target_directory() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()


def find_tools(sources: list[str], *more: str) -> dict:
    wanted = ["curl", "setpriv"]
    wanted += ["sqlite3"] if "sqlite" in sources else []
    wanted += ["initdb", "postgres", "psql"] if "postgres" in sources else []
    wanted += more
    # Debian's psql on the PATH is a wrapper script that costs time at each start; the server's own is not.
    places = [*postgres_directories(), os.environ.get("PATH", os.defpath)]
    tools = {name: shutil.which(name, path=os.pathsep.join(places)) for name in wanted}
    if missing := ", ".join(name for name, path in tools.items() if path is None):
        raise Failure(f"{missing} not found; on Debian or Ubuntu: apt-get install postgresql sqlite3 curl openssl")
    return tools


def postgres_directories() -> list[str]:
    """Where one version's initdb, postgres and psql are: on the PATH, else the newest that Debian installed."""
    if initdb := shutil.which("initdb"):
        return [str(Path(initdb).parent)]
    installed = glob.glob("/usr/lib/postgresql/*/bin")
    return sorted(installed, key=lambda path: float(Path(path).parent.name), reverse=True)


def build(profile: str) -> Path:
    say(f"building headcount ({profile})")
    command = ["cargo", "build", "--profile", profile, "--locked"]
    if subprocess.run(command, cwd=ROOT, stdout=sys.stderr).returncode != 0:
        raise Failure("cargo build failed")
    return target_directory() / profile / "headcount"


def cache_directory() -> Path:
    """Where packages are kept that were installed once, by what they are."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "headcount-tests"


def peers_python() -> tuple[Path, set[str]]:
    """A Python with the packages of the peers, kept from run to run, and those that could not be installed."""
    python, is_whole = python_with(REQUIREMENTS, "bench")
    if is_whole:
        return python, set()
    return python, {name for name, version in pinned() if not installs(python, f"{name}=={version}")}


def python_with(requirements: Path, name: str) -> tuple[Path, bool]:
    """A Python in an environment of its own, kept from run to run, and whether all that it should have is there."""
    wanted = f"{platform.python_version()}\n{requirements.read_text()}"
    venv = cache_directory() / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"
    python, stamp = venv / "bin" / "python", venv / "installed.txt"
    if stamp.is_file() and stamp.read_text() == wanted:
        return python, True
    say("installing Python packages")
    shutil.rmtree(venv, ignore_errors=True)
    if subprocess.run([sys.executable, "-m", "venv", venv], stdout=sys.stderr).returncode != 0:
        raise Failure("there is no Python venv; on Debian or Ubuntu: apt-get install python3-venv")
    if not installs(python, "-r", requirements):
        return python, False
    stamp.write_text(wanted)
    return python, True


def installs(python: Path, *what) -> bool:
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return subprocess.run([*pip, *what], stdout=sys.stderr).returncode == 0


def pinned() -> list[tuple[str, str]]:
    return re.findall(r"^([\w.-]+(?:\[\w+\])?)==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE)


def machine() -> str:
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) / 1024**2
    processor = cpu[1] if cpu else platform.machine()
    return f"{processor}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB RAM, Linux {platform.release()}"


def versions(lab: Lab) -> str:
    names = [lab.run("headcount", "--version").strip(), f"commit {commit()}"]
    if "sqlite3" in lab.tools:
        names.append(f"sqlite3 {lab.run('sqlite3', '--version').split()[0]}")
    if "psql" in lab.tools:
        names.append(f"psql {lab.run('psql', '--version').split()[2]}")
        names.append(f"PostgreSQL {lab.run('postgres', '--version').split()[2]}")
    names.append(" ".join(lab.run("curl", "--version").split()[:2]))
    if "python" in lab.tools:
        names.append(lab.run("python", "--version").strip())
        packages = [(name, version) for name, version in pinned() if name not in lab.missing]
        names += [f"{name} {version}" for name, version in packages if "extension" not in name]
    return ", ".join(names)


def commit() -> str:
    git = ["git", "-C", ROOT, "describe", "--always", "--dirty"]
    with contextlib.suppress(OSError):
        return subprocess.run(git, capture_output=True, text=True).stdout.strip() or "unknown"
    return "unknown"
