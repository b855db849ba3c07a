"""The Debian package, built by dpkg-deb and installed into a folder of its own; the Dockerfile, read as docker reads it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from coded_packs import coded_copy

from edgepack.core.errors import EdgepackError
from edgepack.core.escape import shell
from edgepack.ship.shipping import ship

NAME = "edgepack-intents"
needs_dpkg = pytest.mark.skipif(not (shutil.which("dpkg") and shutil.which("dpkg-deb")), reason="no dpkg here")


@pytest.fixture(scope="module")
def package(pack_folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("deb") / "out"
    ship(pack_folder, "deb", out, name="intents", version="2.0.1")
    return out / f"{NAME}_2.0.1_all.deb"


@needs_dpkg
def test_the_package_says_what_it_is_and_holds_nothing_that_others_may_write(package):
    fields = subprocess.run(["dpkg-deb", "-f", str(package)], capture_output=True, text=True, check=True).stdout
    for line in (f"Package: {NAME}", "Version: 2.0.1", "Architecture: all", "Depends: python3 (>= 3.11), python3-venv"):
        assert line in fields.splitlines()
    listed = subprocess.run(["dpkg-deb", "-c", str(package)], capture_output=True, text=True, check=True).stdout.splitlines()
    assert all(line.split()[1] == "root/root" and line[8] != "w" and line[5] != "w" for line in listed)
    places = {line.split()[-1] for line in listed}
    assert {"./lib/systemd/system/intents.service", "./usr/bin/intents", "./opt/intents/requirements.txt"} <= places
    assert "./opt/intents/intents/model/model.onnx" in places and not any("__pycache__" in place for place in places)
    readme = (package.parent / "README.md").read_text()
    assert f"apt-get install ./{package.name}" in readme and "None" not in readme


@needs_dpkg
def test_the_package_holds_the_linux_module_byte_for_byte(pack_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")  # a module says when it was made
    for platform in ("deb", "linux"):
        ship(pack_folder, platform, tmp_path / platform, name="intents")
    subprocess.run(["dpkg-deb", "-x", str(next((tmp_path / "deb").glob("*.deb"))), str(tmp_path / "root")], check=True)

    def contents(folder: Path) -> dict[str, bytes]:
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert contents(tmp_path / "root" / "opt" / "intents" / "intents") == contents(tmp_path / "linux" / "intents")
    for held, name in (("opt/intents", "requirements.txt"), ("lib/systemd/system", "intents.service")):
        assert (tmp_path / "root" / held / name).read_bytes() == (tmp_path / "linux" / name).read_bytes()


@needs_dpkg
def test_the_same_module_gives_the_same_package(pack_folder, package, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1750000000")
    for again in ("once", "twice"):
        ship(pack_folder, "deb", tmp_path / again, name="intents")
    first, second = (next((tmp_path / again).glob("*.deb")).read_bytes() for again in ("once", "twice"))
    assert first == second


def dpkg(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    """In a root of its own. Maintainer scripts run outside of it and are told where it is, as Debian's policy has them."""
    command = ["dpkg", f"--root={root}", "--force-script-chrootless", "--force-depends", "--force-not-root", f"--log={root}/dpkg.log"]
    tools = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return subprocess.run([*command, *arguments], env=os.environ | {"PATH": tools}, capture_output=True, text=True, check=False)


@pytest.mark.slow
@needs_dpkg
def test_the_package_installs_proves_itself_answers_and_goes(package, tmp_path):
    root = tmp_path / "root"
    for place in ("updates", "info"):
        (root / "var" / "lib" / "dpkg" / place).mkdir(parents=True)
    for place in ("status", "available"):
        (root / "var" / "lib" / "dpkg" / place).touch()
    done = dpkg(root, "--install", str(package))
    if "Could not find a version" in done.stderr or "No matching distribution" in done.stderr:
        pytest.skip("pip has no index here")
    assert done.returncode == 0, done.stderr
    assert '"ok": true' in done.stdout  # its self-test, before it counts as installed
    status = subprocess.run(
        ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f=${Status} ${Version}", NAME], capture_output=True, text=True, check=True
    )
    assert status.stdout == "install ok installed 2.0.1"
    place = root / "opt" / "intents"
    asked = [".venv/bin/python", "-m", "intents", "turn on the light"]
    answered = subprocess.run(
        asked, cwd=place, env={"PATH": "", "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True, check=True
    )
    assert json.loads(answered.stdout)["label"]
    assert (root / "usr" / "bin" / "intents").read_text().endswith('exec .venv/bin/python -m intents "$@"\n')
    assert os.access(root / "usr" / "bin" / "intents", os.X_OK)
    assert dpkg(root, "--purge", NAME).returncode == 0
    assert not place.exists() and not (root / "lib" / "systemd" / "system" / "intents.service").exists()


def test_without_dpkg_deb_the_tree_is_left_to_be_packed(pack_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    ship(pack_folder, "deb", tmp_path / "out", name="my_intents")
    tree = tmp_path / "out" / "edgepack-my-intents_1.0.0_all"
    assert (tree / "DEBIAN" / "control").read_text().startswith("Package: edgepack-my-intents\n")
    assert f"dpkg-deb --root-owner-group --build {tree.name}" in (tmp_path / "out" / "README.md").read_text()
    for script in ("postinst", "prerm"):
        subprocess.run(["sh", "-n", str(tree / "DEBIAN" / script)], check=True)
    subprocess.run(["sh", "-n", str(tree / "usr" / "bin" / "my_intents")], check=True)


def test_a_package_whose_starts_keep_weights_takes_them_away_and_says_where_they_lie(pack_folder, tmp_path, monkeypatch):
    coded_copy(pack_folder, tmp_path / "pack", start="expand")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "which", lambda _: None)
        ship(tmp_path / "pack", "deb", tmp_path / "deb", name="intents")
    tree, root = tmp_path / "deb" / "edgepack-intents_1.0.0_all", tmp_path / "root"
    assert "CacheDirectory=edgepack-intents\n" in (tree / "lib/systemd/system/intents.service").read_text()
    kept = [root / place for place in ("opt/intents/intents/model/.weight-cache", "var/cache/private/edgepack-intents")]
    for folder in kept:
        (folder / "expanded").mkdir(parents=True)
    subprocess.run(["sh", str(tree / "DEBIAN" / "prerm"), "remove"], env=os.environ | {"DPKG_ROOT": str(root)}, check=True)
    assert not any(folder.exists() for folder in kept) and (root / "var/cache/private").exists()
    ship(tmp_path / "pack", "python", tmp_path / "python", name="intents")
    for folder in ("deb", "python"):
        assert "~/.cache/edgepack-expanded" in (tmp_path / folder / "README.md").read_text()


def test_a_command_that_there_is_already_is_warned_about(pack_folder, tmp_path):
    (warning,) = ship(pack_folder, "deb", tmp_path / "out", name="ls").warnings
    assert "installs the command ls, and this machine has" in warning and "Give another --name" in warning


def instructions(text: str) -> list[tuple[str, str]]:
    lines = re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^#.*\n", "", text)).splitlines()
    return [(line.split()[0], line.partition(" ")[2]) for line in lines if line.strip()]


def test_the_image_is_slim_runs_as_nobody_and_says_whether_it_is_well(pack_folder, tmp_path):
    ship(pack_folder, "linux", tmp_path / "out", name="intents", version="2.0.1")
    result = instructions((tmp_path / "out" / "Dockerfile").read_text())
    assert {word for word, _ in result} <= {
        "FROM", "COPY", "RUN", "LABEL", "WORKDIR", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD",
    }  # fmt: skip
    assert all(rest.startswith("python:3.11-slim-") for word, rest in result if word == "FROM")
    by_word = dict(result)
    assert by_word["USER"] == "10001:10001"
    json_forms = [rest for word, rest in result if rest.startswith("[")] + [by_word["HEALTHCHECK"].partition("CMD ")[2]]
    assert len(json_forms) == 4 and all(json.loads(form)[0] in ("/venv/bin/python", "--serve") for form in json_forms)
    order = [word for word, _ in result]
    assert order.index("USER") < len(order) - 1 - order[::-1].index("RUN")  # the self-test has no more rights than the service
    copied = [rest.split()[0] for word, rest in result if word == "COPY" and not rest.startswith("--from")]
    assert all((tmp_path / "out" / name).exists() for name in copied)
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "docker build -t intents:2.0.1 ." in readme  # a build for two architectures leaves no image that `docker run` finds
    assert re.search(r"buildx build --platform linux/amd64,linux/arm64 .*intents:2\.0\.1 --push", readme)


@pytest.mark.parametrize("text", ["a b", "a;b", "$(a)", "a\nb", '"', "'", "a`b`", "a&b"])
def test_nothing_but_plain_characters_becomes_part_of_a_command(text):
    with pytest.raises(EdgepackError, match="cannot stand in a command"):
        shell(text)
