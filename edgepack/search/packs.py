"""Builds the packs of the front, one after the other. What a target says of a pack decides which others are worth building."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from edgepack.core.errors import EdgepackError
from edgepack.core.progress import bar, say
from edgepack.pack.manifest import Manifest
from edgepack.report.records import Report
from edgepack.search.candidates import Factors
from edgepack.search.finals import Builder, Final, factors_of, with_epochs
from edgepack.search.tries import Tries

Built = tuple[Final, Manifest, Report]


def built_packs(tries: Tries, builder: Builder, finals: Sequence[Final]) -> list[Built]:
    """Those of the finals that can be built; the others are said. EdgepackError: none can, so an earlier front stays as it is."""
    built: list[Built] = []
    reasons: list[EdgepackError] = []
    ready = {final.number for final in finals if builder.pack_folder(final).exists()}  # an earlier run built it: it costs nothing
    waiting = _corrected(tries, built, list(finals), ready) or list(finals)[:1]
    with bar("build the front", len(finals)) as progress:
        while waiting:
            final = waiting.pop(0)
            progress.rename(f"build pack {final.number} of {len(finals)}")
            try:
                built.append((final, *builder.built(final)))
                say(f"pack {final.number}: {final.candidate.plan.student.name()} in {final.candidate.plan.precision}")
            except EdgepackError as error:
                reasons.append(error)
                say(f"pack {final.number} cannot be built: {error.problem}\n  fix: {error.fix}")
            waiting = _corrected(tries, built, waiting, ready)
            progress.advance()
    if not built:
        raise EdgepackError(f"no pack of the front can be built. The first one: {reasons[0].problem}", reasons[0].fix)
    return built


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
        over = ", ".join(f"{name} by {share - 1:.0%}" for name, share in now.over.items())
        say(f"trial {final.trial + 1} is not built: by what the target measured it would break {over}")
        while others:
            row = others.pop(0)
            candidate = tries.maker.candidate(row.settings)
            if candidate.is_allowed:
                other = replace(final, trial=row.number, name=row.name, candidate=candidate)
                remaining.append(with_epochs(other, final.candidate.recipe.training.epochs))
                break
    return remaining
