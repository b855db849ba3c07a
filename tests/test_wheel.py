"""The wheel holds what a checkout holds: profiles and targets travel inside the package and are found there."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent


@pytest.mark.slow
def test_a_wheel_works_without_the_checkout(tmp_path):
    """Built by pip, unpacked elsewhere, and put first on the path of a process that then plans with it."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(PROJECT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("edgepack-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    profiles = {f"edgepack/device_profiles/{path.name}" for path in (PROJECT / "device_profiles").glob("*.toml")}
    result = [path for path in (PROJECT / "targets").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    targets = {f"edgepack/{path.relative_to(PROJECT).as_posix()}" for path in result}
    java = {
        path.relative_to(PROJECT).as_posix()
        for path in (PROJECT / "edgepack" / "ship" / "jvm").rglob("*")
        if path.suffix in (".java", ".json")
    }
    assert profiles and targets and java and profiles | targets | java <= names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "device_profiles", "targets"))]
    code = (
        "import edgepack, edgepack.core.resources as s; from edgepack.plan.profile import profile_names\n"
        f"assert edgepack.__file__.startswith({str(tmp_path)!r}), edgepack.__file__\n"
        f"assert str(s.shipped('targets')).startswith({str(tmp_path)!r})\n"
        "print(len(profile_names()))"
    )
    elsewhere = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run([sys.executable, "-c", code], env=elsewhere, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(len(profiles)), done.stderr
