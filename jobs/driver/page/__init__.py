"""The page of a run: one self-contained HTML file, made from the files in the run's folder."""

from jobs.driver.page.writer import write_page

__all__ = ["write_page"]
