"""Pages that tell how to add something are followed literally: their files are written and their commands run, in a copy of the tree."""

from pathlib import Path

import pytest
from pages import DOCS, blocks_of, copied_tree, follow

HOW_TO = sorted((DOCS / "develop").glob("add-*.md"))


@pytest.mark.parametrize("page", HOW_TO, ids=lambda path: path.stem)
def test_a_page_shows_a_file_and_a_command(page: Path):
    blocks = blocks_of(page)
    assert any(block.file for block in blocks)
    assert any(block.is_run for block in blocks)


@pytest.mark.slow
@pytest.mark.parametrize("page", HOW_TO, ids=lambda path: path.stem)
def test_following_a_page_literally_works(page: Path, tmp_path: Path):
    follow(page, copied_tree(tmp_path))
