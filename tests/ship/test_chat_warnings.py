"""A chat template that only jinja2 renders is told when a module without it is made."""

import shutil

import pytest

from edgepack.pack.manifest import read_manifest, seal
from edgepack.ship.shipping import ship


@pytest.mark.slow
@pytest.mark.parametrize(("platform", "warns"), [("android", True), ("jvm", True), ("web", True), ("linux", False)])
def test_a_template_that_a_module_cannot_render_is_told_when_it_is_made(stories_pack, tmp_path, platform, warns):
    pack = shutil.copytree(stories_pack, tmp_path / "pack")
    manifest = read_manifest(pack)
    answers = manifest.answers | {"chat_template": "{{ messages | length }}", "chat_tokens": {}, "chat_form": None}
    seal(pack, manifest.model_copy(update={"answers": answers}))
    package = {"package": "com.example.stories"} if platform in ("android", "jvm") else {}
    shipped = ship(pack, platform, tmp_path / "out", name="stories", **package)
    assert any("refuses chat messages for this model" in warning for warning in shipped.warnings) == warns
