"""No value of any argument ends a command in a traceback, and no command takes long to refuse one."""

import random
from itertools import islice

import pytest
from fuzz_commands import LINES, fault_of_line, lines, make_subjects, parameters

EXAMPLES = 150  # benchmarks/attack.py takes thousands


@pytest.mark.slow
def test_no_command_line_reaches_a_traceback(pack_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    make_subjects(tmp_path, pack_folder)
    for words in islice(lines(random.Random(0)), EXAMPLES):
        assert fault_of_line(words) == ""


def test_every_option_is_tried():
    tried = parameters()
    assert len(tried) > 80 and {line for line, _ in tried} == set(LINES)
