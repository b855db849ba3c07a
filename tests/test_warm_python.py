"""A command that is forked from the warm Python has its own arguments, folder, environment, streams and end, and its own edgepack."""

import os
import signal
import subprocess
import sys
import time

import pytest
import warm_python

pytestmark = pytest.mark.slow
SHOW = "import os, sys; print(sys.argv[1:], os.getcwd(), os.environ['MINE']); print('aside', file=sys.stderr); sys.exit(3)"


def test_a_command_is_run_as_a_fresh_python_runs_it(tmp_path):
    fresh = subprocess.run(
        [sys.executable, "-c", SHOW, "a", "b c"], cwd=tmp_path, env=os.environ | {"MINE": "1"}, capture_output=True, text=True, check=False
    )
    warm = warm_python.run(["-c", SHOW, "a", "b c"], tmp_path, {"MINE": "1"})
    assert (warm.returncode, warm.stdout, warm.stderr) == (fresh.returncode, fresh.stdout, fresh.stderr) and warm.returncode == 3


def test_edgepack_is_that_of_the_command_and_libraries_are_there_already(tmp_path):
    (tmp_path / "edgepack").mkdir()
    (tmp_path / "edgepack" / "__init__.py").write_text("import sys\nPLACE = 'another tree', 'torch' in sys.modules\n")
    shown = warm_python.run(["-c", "import edgepack; print(*edgepack.PLACE)"], tmp_path, {"PYTHONPATH": str(tmp_path)})
    assert shown.stdout == "another tree True\n", shown.stderr


def test_an_error_ends_with_its_traceback_and_a_signal_with_its_number(tmp_path):
    wrong = warm_python.run(["-c", "1 / 0"])
    assert wrong.returncode == 1 and "ZeroDivisionError" in wrong.stderr
    assert warm_python.run(["-c", "import os; os.kill(os.getpid(), 9)"]).returncode == -signal.SIGKILL


def test_a_command_ends_with_whoever_asked_for_it(tmp_path):
    script = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    asking = subprocess.Popen([sys.executable, "-IS", warm_python.__file__, "--ask", warm_python.warm_socket(), "-c", script])
    ends = time.monotonic() + 100
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < ends
        time.sleep(0.05)
    asking.kill()
    asking.wait()
    process = int((tmp_path / "pid").read_text())
    while time.monotonic() < ends:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("it still runs")
