"""Where there is no terminal, a long stage says how far it is, and a short one says nothing."""

from edgepack.core import progress


def test_a_log_gets_a_line_with_the_share_and_the_time_left(capfd, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.0)
    with progress.bar("measure", 4) as bar:
        for _ in range(4):
            bar.advance()
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(" after ")[0] for line in lines] == ["  measure: 25%", "  measure: 50%", "  measure: 75%"]
    assert all(line.endswith("s left") for line in lines)


def test_work_that_ends_within_half_a_minute_says_nothing(capfd):
    with progress.bar("measure", 2) as bar:
        bar.advance()
        bar.advance()
    assert capfd.readouterr().err == ""
