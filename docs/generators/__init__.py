"""One generator a page; each returns the page's text."""
