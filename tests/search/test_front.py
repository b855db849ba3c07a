"""The front's page and what is picked from it."""

from io import StringIO
from pathlib import Path

import browsers
import pytest
from fronts import front, point
from rich.console import Console

from edgepack.cli.search_views import front_view
from edgepack.core.errors import EdgepackError
from edgepack.measure.measurement import QUICK
from edgepack.plan.profile import Budget, load_profile
from edgepack.report.scatter import Dot, scatter
from edgepack.search.candidates import COSTS, Factors
from edgepack.search.finals import Builder, without_dominated
from edgepack.search.front import Front, check_pick, pick
from edgepack.search.page import _whisker, headline, page
from edgepack.search.pareto import dominates
from edgepack.tasks import all_tasks
from edgepack.tasks.common.scores import Score


@pytest.mark.parametrize(
    ("wish", "number"),
    [
        ("score_drop=100", 1),
        ("latency_ms=50", 2),
        ("latency_ms=30,file_mb=12", 4),
        ("score_drop=1", 1),
        ("file_mb=9", 5),
        ("load_ms=60", 6),
    ],
)
def test_the_best_score_within_the_limits_is_picked(wish, number):
    assert pick(front(), wish).picked == number


def test_the_knee_is_neither_the_best_score_nor_the_fastest():
    assert pick(front(), "knee").picked in (3, 4, 5)


def test_a_limit_that_no_pack_keeps_is_refused_with_what_the_nearest_needs():
    with pytest.raises(EdgepackError, match=r"nearest is pack 6: latency \(9 ms, 12% over the limit of 8\)"):
        pick(front(), "latency_ms=8")


@pytest.mark.parametrize(("wish", "fix"), [("latency=3", "latency_ms"), ("latency_ms=fast", "write latency_ms=30"), ("knees", "knee")])
def test_a_pick_that_cannot_be_read_is_refused(wish, fix):
    with pytest.raises(EdgepackError) as error:
        check_pick(wish)
    assert fix in error.value.fix


def test_a_front_is_read_as_it_was_written():
    assert Front.read(front().as_json(), "front.json") == front()


def test_packs_that_another_beats_are_marked_and_come_last():
    points = without_dominated([point(1, 1.0, 10.0, 5.0), point(2, 2.0, 12.0, 6.0), point(3, 0.5, 20.0, 8.0)])
    assert [(each.number, each.is_dominated) for each in points] == [(3, False), (1, False), (2, True)]
    assert dominates(points[1].values, points[2].values)


def test_a_page_that_is_handed_on_names_no_folder_of_the_machine(tmp_path):
    out = tmp_path / "some front"
    builder = Builder(tmp_path, tmp_path, load_profile("raspberry-pi"), out, QUICK, None)
    settings = {"vocabulary": str(tmp_path / "words.txt")}
    text = page(front(points=(point(1, 0.0, 60.0, 20.0, command=builder.command(1), settings=settings),)))
    assert str(tmp_path) not in text and "--recipe 1.toml --out packs/raspberry-pi-1" in text and "words.txt" in text
    assert f"'{out}/1.toml'" in builder.command(1), "the terminal's command finds it"


def test_a_front_below_this_folder_is_built_again_by_a_command_that_works_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    builder = Builder(tmp_path, tmp_path, load_profile("raspberry-pi"), tmp_path / "packs" / "front", QUICK, None)
    command = builder.command(1)
    assert command == "edgepack build --recipe packs/front/1.toml --out packs/raspberry-pi-1"
    assert command in page(front(points=(point(1, 0.0, 60.0, 20.0, command=command),)))


def test_the_terminal_names_exceeded_budgets_as_the_page_does(tmp_path):
    exceeded = front(points=(point(1, 0.0, 60.0, 20.0, over={"latency_ms": 1.2, "score_drop": 2.0}),))
    terminal = Console(width=200, file=StringIO())
    terminal.print(front_view(exceeded, tmp_path))
    assert "over latency, score lost" in terminal.file.getvalue() and "over latency, score lost<" in page(exceeded)
    with pytest.raises(EdgepackError, match=r"pack 1: score lost \(2 points, over the limit of 0\)"):
        pick(front(points=(point(1, 2.0, 60.0, 20.0),)), "score_drop=0")


def test_the_page_tells_every_pack_and_its_command_and_escapes_names():
    text = page(front())
    for each in front().points:
        assert each.command in text and f'id="pack-{each.number}"' in text and f'href="#pack-{each.number}"' in text
    assert "minilm &lt;b&gt;" in text and "minilm <b>" not in text
    assert "over latency<" in text and "picked by knee" in text and "212 candidates ruled out" in text and "0.81" in text


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"points": ()}, "No pack could be built"),
        ({"budget": Budget(file_mb=1)}, "keep every budget"),
        ({"points": (point(1, 0.0, 60.0, 20.0, over={"latency_ms": 1.2}),)}, "The only pack does not keep every budget"),
        ({"points": (point(1, 0.0, 10.0, 20.0),)}, "It is the fastest too"),
        ({"tried": (), "importance": {}, "correlation": None, "notes": (), "picked": None}, "Too few trials"),
    ],
)
def test_a_page_of_little_is_whole(more, says):
    changed = front(**more)
    assert says in headline(changed) + page(changed)


def test_a_trial_that_lost_far_more_than_any_pack_is_counted_and_not_drawn():
    usual, hopeless = front().tried[0], front().tried[1].model_copy(update={"score_drop": 80.0})
    text = page(front(tried=(usual, hopeless)))
    assert "Trials that lost more than 12 points are not drawn: 1 of 2." in text  # the worst pack lost 6
    assert text.count('class="tried"') == len(COSTS) and "not drawn" not in page(front(tried=(usual,)))


def test_a_scatters_limits_are_shaded():
    drawn = scatter("t", [Dot(1.0, 2.0, "tried", "a")], "ms", "points", (0.5, None))
    assert drawn.count('class="beyond"') == 1 and drawn.count('class="limit"') == 1


@pytest.mark.slow
@pytest.mark.skipif(browsers.missing() is not None, reason=str(browsers.missing()))
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_fits_a_screen_and_a_click_leads_to_the_pack(tmp_path, width):
    (tmp_path / "index.html").write_text(page(front()))
    with browsers.browser() as browser:
        shown = browser.new_page(viewport={"width": width, "height": 800})
        shown.goto(f"file://{tmp_path}/index.html")
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        assert shown.locator("figure svg circle").count() > 100
        assert not shown.evaluate("[...document.querySelectorAll('figure')].some(each => each.offsetHeight > each.clientHeight)")
        shown.locator('svg a[href="#pack-3"] circle').first.click()
        assert shown.url.endswith("#pack-3") and shown.locator("#pack-3").is_visible()


UNKNOWN = {"score": None, "low": None, "high": None, "score_drop": None}


def test_a_pack_whose_score_is_not_known_is_never_the_best_one_and_says_so():
    quick = point(1, 0.0, 5.0, 2.0, **UNKNOWN)
    among = front(points=(quick, point(2, 1.0, 20.0, 8.0), point(3, 4.0, 10.0, 6.0, over={"score_drop": 2.0})), picked=None)
    assert [each.number for each in without_dominated(among.points)] == [2, 3, 1]
    assert [among.keeps_budgets(each) for each in among.points] == [None, True, False]
    assert pick(among, "latency_ms=50").picked == 2 and pick(among, "knee").picked != 1 and pick(among, "latency_ms=6").picked == 1
    with pytest.raises(EdgepackError, match=r"nearest is pack 3: score lost \(4 points, 700% over the limit of 0.5\)"):
        pick(front(points=among.points[::2]), "score_drop=0.5")
    with pytest.raises(EdgepackError, match="nearest is pack 1: score lost is not known"):
        pick(front(points=(quick,)), "score_drop=0.5")
    text = page(among)
    assert "Packs whose score is not known are not drawn: 1 of 3." in text and ">score lost not known</td>" in text
    assert headline(among).startswith("1 of 3 packs keep every budget of raspberry-pi. Pack 2 has the best score")


def test_a_front_without_any_score_says_what_is_known():
    unknown = front(points=(point(1, 0.0, 5.0, 2.0, **UNKNOWN), point(2, 0.0, 9.0, 4.0, **UNKNOWN)), picked=None)
    assert headline(unknown) == "2 of 2 packs may keep every budget of raspberry-pi: how much of the score they lose is not known."
    unlimited = unknown.model_copy(update={"budget": Budget(file_mb=25)})
    assert "No score is known of them. Pack 1 is the fastest: 5 ms" in headline(unlimited) and pick(unknown, "knee").picked == 1
    console = Console(width=200)
    with console.capture() as shown:
        console.print(front_view(unknown, Path("out")))
    assert shown.get().count("score lost not known") == 2
    assert page(unknown) and page(unlimited)


def test_every_figure_says_where_it_comes_from():
    text = page(front())
    assert "as it came (predicted)" in text and "Latency, memory and load are measured or predicted" in text
    assert "48 ms (predicted)" in headline(front())
    corrected = page(front(factors=Factors(latency_ms=1.08, load_ms=0.9)))
    assert "multiplied as the device&#39;s own measurements say: latency by 1.08, load time by 0.90." in corrected.replace("'", "&#39;")
    assert "multiplied" not in page(front(factors=Factors()))


def test_a_perplexitys_interval_is_in_per_cent_as_its_loss_is():
    metric = next(task.metric for task in all_tasks() if task.lower_is_better)
    score = Score(metric=metric, value=22.0, low=20.0, high=24.0, rows=10)
    assert _whisker(score, 10.0) == pytest.approx((0.0, 20.0))
    assert _whisker(Score(metric="accuracy", value=0.9, low=0.88, high=0.92, rows=10), 1.0) == pytest.approx((-1.0, 3.0))
