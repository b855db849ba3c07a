"""Builds the packs of the front, one after the other. What a target says of a pack decides which others are worth building."""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace

from edgepack.core.deadline import TimeIsUp, deadline
from edgepack.core.errors import EdgepackError
from edgepack.core.progress import bar, say
from edgepack.pack.manifest import Manifest
from edgepack.plan.budget_words import exceeded_in_words
from edgepack.report.records import Report
from edgepack.search.candidates import Factors
from edgepack.search.finals import Builder, Final, factors_of, with_steps
from edgepack.search.lengths import Lengths
from edgepack.search.trials import initialization_s_of, trained_on, training_s_of
from edgepack.search.tries import Tries

Built = tuple[Final, Manifest, Report]


def built_packs(tries: Tries, builder: Builder, finals: Sequence[Final], lengths: Lengths | None = None) -> list[Built]:
    """Those of the finals that can be built, and that there is time for; the others are said.

    lengths: shortens what waits where the time becomes short. EdgepackError: none can be built, so an earlier front stays as it is.
    """
    built: list[Built] = []
    reasons: list[EdgepackError] = []
    ready = {final.number for final in finals if builder.pack_folder(final).exists()}  # an earlier run built it: it costs nothing
    waiting = _corrected(tries, built, list(finals), ready) or list(finals)[:1]
    with bar("build the front", len(finals), tries.clock.left) as progress:
        while waiting := lengths.again(waiting, [final for final, *_ in built]) if lengths else waiting:
            final = waiting.pop(0)
            progress.rename(f"build pack {len(built) + 1} of {len(built) + 1 + len(waiting)}")
            if lengths:
                lengths.begins(final)
            try:
                built.append(_timed(tries, builder, final, lengths, has_end=bool(built)))
            except TimeIsUp:
                say(f"the pack of trial {final.trial + 1} is left out: its training would last longer than the search")
            except EdgepackError as error:
                reasons.append(error)
                say(f"the pack of trial {final.trial + 1} cannot be built: {error.problem}\n  fix: {error.fix}")
            waiting = _corrected(tries, built, waiting, ready)
            progress.advance()
    if not built:
        raise EdgepackError(f"no pack of the front can be built. The first one: {reasons[0].problem}", reasons[0].fix)
    if lengths:
        _lengthen(tries, builder, lengths, built)
    return built


def _lengthen(tries: Tries, builder: Builder, lengths: Lengths, built: list[Built]) -> None:
    """Trains packs longer that still improved when they ended, in the time that is left; each takes the place of the shorter one."""
    with bar("train longer", 1, tries.clock.left) as progress:
        while finals := lengths.lengthened([final for final, manifest, _ in built if _still_improved(manifest)]):
            progress.rename(f"train {finals[0].candidate.plan.student.name()} longer")
            places = {final.number: at for at, (final, *_) in enumerate(built)}
            try:
                for final in finals:
                    built[places[final.number]] = _timed(tries, builder, final, lengths, has_end=True)
            except TimeIsUp:
                return
            except EdgepackError as error:
                say(f"the pack of trial {finals[0].trial + 1} stays as it is: {error.problem}")
                return


def _still_improved(manifest: Manifest) -> bool:
    return any(row.details.get("still_improving") for row in manifest.ladder)


def _timed(tries: Tries, builder: Builder, final: Final, lengths: Lengths | None, has_end: bool) -> Built:
    """The pack, with what it took for the clock. has_end: the search's end ends its training too. TimeIsUp: it has done so."""
    started, is_ready = time.monotonic(), builder.pack_folder(final).exists()
    with deadline(tries.clock.ends_at if has_end else None):
        manifest, report = builder.built(final)
    seconds, trained = time.monotonic() - started, trained_on(manifest.ladder)
    training_s, initialization_s = training_s_of(manifest.ladder), initialization_s_of(manifest.ladder)
    teacher_s = 0.0 if has_end else manifest.ladder[0].seconds  # the first pack asks the teacher about all rows, for all others
    if not is_ready:
        is_new = lengths is not None and not lengths.is_trained(final) and training_s + initialization_s < seconds
        of_student_s = (training_s, initialization_s) if is_new else (0.0, 0.0)
        work = tries.work(final.candidate.plan, trained["steps"] * final.candidate.recipe.training.batch_rows)
        tries.clock.took(work, *of_student_s, max(0.0, seconds - teacher_s))
    if lengths is not None:
        lengths.ends(final)
    length = f"{trained['steps']} steps on {trained['texts']} texts, " if trained["steps"] else ""
    shape = f"{final.candidate.plan.student.name()} in {final.candidate.plan.precision}"
    say(f"pack of trial {final.trial + 1}: {shape}, {length}{seconds:.0f} s")
    return final, manifest, report


def _corrected(tries: Tries, built: Sequence[Built], waiting: list[Final], ready: Collection[int] = ()) -> list[Final]:
    """The finals that wait. Where the target has corrected the predictions, now or in an earlier run of the search, one that breaks a
    budget by them gives way to the next best. ready: numbers of those whose packs are there already, which stay.
    """
    factors, unknown = factors_of([(manifest, report) for _, manifest, report in built]), Factors()
    if factors not in (tries.maker.factors, unknown):
        tries.correct(factors)
    if tries.maker.factors == unknown:
        return waiting
    used = {final.trial for final, *_ in built} | {final.trial for final in waiting}
    others = [row for row in tries.best_rows(len(tries.rows)) if row.number not in used]
    remaining: list[Final] = []
    for final in waiting:
        now = tries.maker.candidate(final.candidate.settings)
        if now.is_allowed or final.number in ready:
            remaining.append(final)
            continue
        limits = tries.maker.budget
        over = " and ".join(exceeded_in_words(name, getattr(now.prediction, name), getattr(limits, name)) for name in now.over)
        say(f"trial {final.trial + 1} is not built: by what the target measured it would break {over}")
        while others:
            row = others.pop(0)
            candidate = tries.maker.candidate(row.settings)
            if candidate.is_allowed:
                other = replace(final, trial=row.number, name=row.name, candidate=candidate)
                remaining.append(with_steps(other, final.candidate.recipe.training.training_steps))
                break
    return remaining
