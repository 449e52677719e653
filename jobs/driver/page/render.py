"""Renders the data of a page as HTML. The template escapes every text; the charts and the style are the only markup."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from jobs.driver.page import score_tables, sections
from jobs.driver.page.collect import Page


def template(name: str) -> Template:
    """A template of this folder, with the page's style and the filters for figures."""
    folder = files(__package__)
    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    number, percent = score_tables.number, score_tables.percent
    environment.filters |= {"score": score_tables.score, "percent": percent, "number": number}
    style = Markup((folder / "page.css").read_text(encoding="utf-8"))
    return environment.get_template(name, globals={"style": style, "number": number, "percent": percent})


def render(page: Page) -> str:
    """Returns the page as one HTML document that loads no other file."""
    metrics = page.evaluations.get(page.split, {}).get("metrics", {})
    monitor = page.identity.get("train.monitor", "val_loss")
    return template("page.html.j2").render(
        page=page,
        tiles=score_tables.tiles(metrics),
        order=score_tables.SCORES,
        scores={split: score_tables.tables(done["metrics"]) for split, done in page.evaluations.items()},
        score_chart=score_tables.score_chart(metrics),
        decision=score_tables.decision(page.judgement),
        curves=sections.curves(page.history, page.training or {}, monitor),
        external=[sections.external_section(name, comparison) for name, comparison in page.external.items()],
        workers=sections.workers(page.history),
        worker_chart=sections.worker_chart(page.history),
        search_of=sections.search_of,
    )
