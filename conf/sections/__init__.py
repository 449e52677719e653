"""The sections of the jobs' configuration, grouped by what reads them."""
