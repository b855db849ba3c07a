"""The key of a study: every input of a search's trials, so that a study goes on only where it would be made again as it is."""

import pkgutil
from typing import Any

import edgepack.compress
from edgepack.core.cache import key_of, library_versions
from edgepack.core.code_graph import device_code_sha256
from edgepack.core.records import Frozen
from edgepack.measure.machines.transports.local import versions_beside
from edgepack.pipeline.keys import computed_by, material_inputs
from edgepack.plan.formats import format_versions
from edgepack.plan.recipe import WHOLE_VOCABULARY
from edgepack.plan.runtime import all_runtimes, missing_builders
from edgepack.search.candidates import Maker
from edgepack.search.space import Dimension
from edgepack.search.wish import SearchWish


class _StudyInputs(Frozen):
    """How many trials, or how long, is not among them: a search goes on where it was."""

    recipe: dict[str, Any]
    profile: dict[str, Any]
    material: dict[str, Any]
    data_sha256: str  # of the files' bytes: a pack that waits says of which data it was built
    corpora: dict[str, str]  # hashes of the texts that a vocabulary can be cut to
    space: list[tuple[str, str]]
    sampler: str
    generation: int
    shared_training: bool
    device_code_sha256: str  # what answers on a machine, in whatever language
    computed_by: dict[str, Any]  # threads, machine, kernels' settings, libraries and code


def study_key(maker: Maker, wish: SearchWish) -> str:
    """For the name of the folder that holds the study and the packs that wait."""
    base, whole = maker.space.base, maker.materials.whole
    return key_of(
        _StudyInputs(
            recipe=base.as_json(),
            profile=maker.profile.as_json(),
            material=material_inputs(whole).as_json(),
            data_sha256=whole.data.sha256 if whole.data else "",
            corpora=_corpora(maker),
            space=[(each.key, _in_full(each)) for each in maker.space.dimensions],
            sampler=wish.sampler,
            generation=wish.generation,
            shared_training=wish.shared_training,
            device_code_sha256=device_code_sha256(),
            computed_by=_computed_by(),
        )
    )


def stage_roots() -> tuple[str, ...]:
    """The modules that a trial can reach: a search, and each step of compress/, which a build finds by its verb."""
    steps = (f"{edgepack.compress.__name__}.{module.name}" for module in pkgutil.iter_modules(edgepack.compress.__path__))
    return ("edgepack.search.search", *steps)


def _computed_by() -> dict[str, Any]:
    computed = computed_by(stage_roots(), ())
    computed["libraries"] |= library_versions()
    for facts in all_runtimes():
        if not missing_builders(facts.format):
            computed["libraries"] |= format_versions(facts.format)
        computed["libraries"] |= versions_beside(facts.name)
    return computed


def _corpora(maker: Maker) -> dict[str, str]:
    wished = {maker.space.base.vocabulary} | {value for each in maker.space.dimensions if each.key == "vocabulary" for value in each.values}
    return {name: _corpus_sha256(maker, name) for name in sorted(name for name in wished if name not in (None, WHOLE_VOCABULARY))}


def _corpus_sha256(maker: Maker, vocabulary: str) -> str:
    """EdgepackError: the texts cannot be read."""
    return maker.materials.with_cut(maker.space.base.model_copy(update={"vocabulary": vocabulary}))["corpus"].sha256


def _in_full(dimension: Dimension) -> str:
    return repr((dimension.values, dimension.low, dimension.high, dimension.step, dimension.logarithmic))
