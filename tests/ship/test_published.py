"""A module's build asks for releases that were seen published, and that open the pack."""

import pytest
from packaging.version import Version

from edgepack.core.errors import EdgepackError
from edgepack.plan.runtime import all_runtimes
from edgepack.ship.published import artefact, artefacts, chosen_release
from edgepack.ship.shipping import ship

ONNX, LITERT = artefacts()["onnxruntime-android"], artefacts()["litert-android"]


@pytest.mark.parametrize("name", sorted(artefacts()))
def test_releases_are_in_order_and_each_says_where_it_was_seen(name):
    result = artefacts()[name]
    versions = [Version(each.version) for each in result.releases]
    assert versions == sorted(set(versions)) and all(each.source for each in result.releases)
    assert {result.oldest, result.proven} - {None} <= {each.version for each in result.releases}


def test_every_runtime_of_an_app_has_a_row():
    wanted = {facts.android.coordinate for facts in all_runtimes() if facts.android}
    wanted |= {facts.java for facts in all_runtimes() if facts.java}
    assert all(artefact(coordinate).coordinate == coordinate for coordinate in wanted) and len(wanted) == 3


@pytest.mark.parametrize(
    ("published", "measured", "oldest", "version", "warns"),
    [
        (ONNX, "1.31.1", "1.23.0", "1.31.0", None),
        (ONNX, "1.30.0", "1.23.0", "1.30.0", None),
        (ONNX, "1.28.0", "1.23.0", "1.27.0", "run the self-test on a device"),
        (ONNX, "1.19.0", None, "1.20.0", "run the self-test on a device"),  # all that are known are newer
        (ONNX, "1.22.0", "1.23.0", "1.23.0", "run the self-test on a device"),
        (ONNX, "1.99.0", "1.98.0", ONNX.newest, "needs com.microsoft.onnxruntime:onnxruntime-android 1.98.0 or newer"),
        (LITERT, "2.3.0", None, "2.1.5", "run the self-test on a device"),  # the newest that is known to have the classes
        (LITERT, "1.4.0", None, "2.1.0", "run the self-test on a device"),
    ],
)
def test_the_newest_release_that_is_not_newer_than_the_one_measured_is_asked_for(published, measured, oldest, version, warns):
    result = chosen_release(published, measured, oldest, None)
    assert result.version == version and version in result.note
    assert (result.warning is None) == (warns is None) and (warns or "") in (result.warning or "")


@pytest.mark.parametrize(
    ("published", "wished", "says"),
    [
        (ONNX, "1.31.1", "is newer than 1.31.0"),
        (ONNX, "1.28.0", "was not seen published"),
        (ONNX, "1.22.0", "opens this pack from 1.23.0 on"),
        (ONNX, '1.30.0") // evil', "is not a version"),
        (ONNX, "1.30", "is not a version"),
        (ONNX, "+", "is not a version"),
        (LITERT, "2.0.3", "was not seen published"),
    ],
)
def test_a_wish_that_cannot_be_built_or_does_not_open_the_pack_is_refused_by_name(published, wished, says):
    with pytest.raises(EdgepackError, match=says):
        chosen_release(published, "1.31.1", "1.23.0" if published is ONNX else None, wished)


def test_a_wish_goes_into_the_build_file_and_an_unproven_one_warns(pack_folder, tmp_path):
    ship(pack_folder, "android", tmp_path / "out", package="com.example.intents", runtime_version="1.29.0")
    assert 'implementation("com.microsoft.onnxruntime:onnxruntime-android:1.29.0")' in (tmp_path / "out" / "build.gradle.kts").read_text()
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "1.29.0 of 2026-08-13 is published" in readme and "needs 1.23.0 or newer" in readme
    assert "2.1.5" in chosen_release(LITERT, "2.3.0", None, "2.3.0").warning
    with pytest.raises(EdgepackError, match=r"(?s)--runtime-version is nothing that the module for linux knows.*ship --for android"):
        ship(pack_folder, "linux", tmp_path / "linux", runtime_version="1.29.0")
