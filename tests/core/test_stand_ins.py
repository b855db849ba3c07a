"""What a download leaves in place of a file, and texts that only begin like it."""

import pytest

from edgepack.core.errors import EdgepackError
from edgepack.core.reading import check_stand_in


@pytest.mark.parametrize("page", ["<!DOCTYPE html><p>404", "\n<html>\n<head>", '<HTML lang="en"><body>404', "<html><!-- 404 -->"])
def test_a_web_page_is_no_file(page):
    for content in (page, page.encode()):
        with pytest.raises(EdgepackError, match="rows.csv is a web page, not the file"):
            check_stand_in(content, "rows.csv")


@pytest.mark.parametrize("rows", ["<html> is a tag,code\n<p> too,code\n", "<html>\tcode\nhello\ttalk\n", "<html>,code\nhello,talk\n"])
def test_a_row_that_begins_with_a_tag_is_a_row(rows):
    check_stand_in(rows, "rows.csv")
    check_stand_in(rows.encode(), "rows.csv")
