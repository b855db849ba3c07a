"""The folder of a front: an --out that is a link lands where it leads."""

import pytest
from fronts import front

from edgepack.core.errors import EdgepackError
from edgepack.search.place import check_front_place, write_front


@pytest.mark.parametrize("is_there", [True, False])
def test_a_front_lands_where_a_link_leads_and_is_replaced_there(is_there, tmp_path):
    link, real = tmp_path / "link", tmp_path / "disk" / "real"
    (real if is_there else real.parent).mkdir(parents=True)
    link.symlink_to(real)
    for _ in range(2):
        check_front_place(link, front().study)
        write_front(link, front(points=()), {}, {})
        assert link.is_symlink() and (real / "front.json").is_file()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "link"] and list(real.parent.iterdir()) == [real]


def test_an_earlier_front_in_the_folder_that_one_is_in_is_not_replaced(tmp_path, monkeypatch):
    write_front(tmp_path / "front", front(points=()), {}, {})
    monkeypatch.chdir(tmp_path / "front")
    with pytest.raises(EdgepackError, match="the folder that you are in"):
        check_front_place(tmp_path / "front", front().study)
