"""The page of a run: one HTML file that needs nothing else, made from what the run's folder holds."""

from jobs.driver.page.write import page_uri, write_page

__all__ = ["page_uri", "write_page"]
