"""Gives a target that may lack Python what measures there without one."""

from edgepack.measure.machines.targets import Target, transport
from edgepack.pack.manifest import Manifest
from edgepack.plan.runtime import default_runtime, facts_in_python


def with_runner(target: Target, manifest: Manifest | None = None) -> Target:
    """The same target. Of a phone, with the runner for the pack's runtime: the file may not be there yet, and the message says so.

    A target that names its Python or its runner is as it is.
    """
    if not getattr(transport(target), "TAKES_RUNNER", False) or target.runner or "python" in target.model_fields_set:
        return target
    facts = facts_in_python(manifest.plan.runtime if manifest else default_runtime())
    if facts.android is None:
        return target
    from edgepack.ship.jvm.runner import runner_for
    from edgepack.ship.published import artefact, chosen_release

    published = artefact(facts.android.coordinate)
    measured = manifest.versions.get(facts.package) if manifest else None
    version = chosen_release(published, measured or published.newest, None, None).version
    return target.model_copy(update={"runner": str(runner_for(facts.name, published.coordinate, version, target.cache))})
