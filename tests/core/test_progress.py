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


def test_hushed_work_is_said_by_the_bar_around_it(capfd, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.0)
    with progress.bar("search", 100, lambda: "; 3 minutes are left") as outer:
        outer.rename("short trial 4")
        with progress.hushed(), progress.bar("distil 3x384", 2) as inner:
            inner.advance()
            progress.say("a line of hushed work")
    assert capfd.readouterr().err == "  short trial 4: distil 3x384 1 of 2, about 0 s left; 3 minutes are left\n"


def test_hushed_work_without_a_bar_around_it_says_nothing(capfd, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.0)
    with progress.hushed(), progress.bar("distil 3x384", 2) as inner:
        inner.advance()
    assert capfd.readouterr().err == ""
