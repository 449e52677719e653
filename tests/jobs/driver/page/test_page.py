"""The page of a run: what it shows, what it escapes, and how a real browser takes it."""

import io
import re
from html.parser import HTMLParser

import pytest
from chromium import CHROMIUM, Browser
from PIL import Image

from conf.schema import Corpus
from jobs.driver.page.collect import Page
from jobs.driver.page.render import render
from jobs.driver.page.thumbnails import data_uri, thumbnails
from udfs.vision.decode import PhotoLimits, thumbnail

HOSTILE = [
    "<script>document.title = 'taken'</script>",
    '"><img src=x onerror="document.title=\'taken\'">',
    "' onmouseover='document.title=1",
    "{{ 7 * 7 }} {% raw %} &amp; $x^2$",
    "كلب يجري على العشب",
    "a \u202edog backwards\u202c 🐕‍🦺 on a 🛹",
    "averyveryverylongword" * 20,
]
SCORE = {f"bleu{order}": 0.6 / order for order in (1, 2, 3, 4)}
FIGURES = {
    **SCORE, "cider_d": 0.4567, "rouge_l": 0.4321, "brevity_penalty": 0.9753, "mean_length": 8.64, "distinct_captions": 623,
    "distinct_share": 0.6231, "distinct_words": 412, "novel_share": 0.871,
    **{f"bleu{order}_without_penalty": 0.7 / order for order in (1, 2, 3, 4)},
}  # fmt: skip


def picture() -> str:
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), "green").save(stream, "JPEG")
    return data_uri(thumbnail(stream.getvalue(), PhotoLimits(), 32), "image/jpeg")


def full_page() -> Page:
    """A page with all its sections, in which every text that comes from outside is hostile."""
    names = [f"{text}.jpg" for text in HOSTILE]
    rows = [
        {"image_id": name, "hypothesis": text, "references": HOSTILE, "score": 0.5}
        for name, text in zip(names, HOSTILE, strict=True)
    ]
    word = {"training_share": 0.1, "evaluation_share": 0.2, "log_odds": 0.7, "z": 3.1, "beyond_chance": True}
    words = [{"word": text, **word} for text in HOSTILE]
    side = {"photos": 9, "captions": 45, "mean_length": 9.5, "sd_length": 2.0, "distinct_words": 30, "out_of_vocabulary": 0.02,
            "lengths": {"8": 0.5, "11": 0.3, "9": 0.2}}  # fmt: skip
    group = {"photos": 9, "bleu1": 0.5, "bleu4": 0.2, "low": 0.1, "high": 0.3}
    groups = [{"kind": "all", "name": "all photos", **group}]
    groups += [{"kind": "distance", "name": n, "from": 0.1, "to": 0.2, **group} for n in "12"]
    groups += [{"kind": "object", "name": text[:30], **group} for text in HOSTILE]
    distances = {"0.1": 0.01, "0.5": 0.02, "0.9": 0.03}
    frechet = {"mean": 1.0, "low": 0.9, "high": 1.2}
    external = {
        "population": HOSTILE[0], "made_from": {"root": HOSTILE[0]}, "verdict": HOSTILE, "gaps": HOSTILE, "groups": groups,
        "captions": {"training": side, "evaluation": side}, "unseen_words": {"share": 0.01},
        "words": {"tested": 40, "beyond_chance": 7, "over_represented": words, "under_represented": words},
        "distances": {"neighbours": {"evaluation": distances, "control": distances},
                      "frechet": {"photos_a_side": 9, "evaluation": frechet, "control": frechet}},
        "look_alikes": [{"image_id": name, "twin": name, "bits": 2} for name in names],
        "farthest": [{"image_id": name, "neighbour": name, "distance": 0.3} for name in names],
    }  # fmt: skip
    worker = {"rank": 0, "address": "<b>host</b>:1", "captions": 90, "cpu_cores": 0.9, "memory_mb": 800.0, "sent_mb": 1.0,
              "received_mb": 1.0}  # fmt: skip
    history = [{"epoch": n, "loss": 3.0 / n, "val_loss": 3.2 / n, "seconds": 2.0, "words_per_second": 45.0,
                "workers": [worker], **SCORE} for n in (1, 2, 3)]  # fmt: skip
    interval = {"low": 0.1234, "high": 0.5678}
    baselines = {"shuffled_photos": SCORE, "nearest_photo": {**FIGURES, "bleu4": 0.1}, HOSTILE[0]: SCORE}
    metrics = {**FIGURES, "intervals": {name: interval for name in ("bleu4", "bleu4_without_penalty", "rouge_l")},
               "legacy": SCORE, "baselines": baselines}  # fmt: skip
    made_from = {"captions": 1, "features": 2, "decoding": {"beam_width": 3}, "split": "dev"}
    return Page(
        run="<b>run</b>", split="dev", identity={"train.seed": HOSTILE[1]}, extractor=HOSTILE[2], history=history,
        evaluations={"dev": {"scored": 9, "made_from": made_from, "version": 4, "metrics": metrics}},
        training={"best_epoch": 2, "diagnosis": {"words": "Fits well & <i>good</i>.", "rule": "1 < 2"}},
        judgement={"metrics": {"promoted": False, "champion": HOSTILE[1], "reasons": HOSTILE}},
        external={"x": external}, captions={"best": rows, "median": rows[:2], "worst": rows[::-1]},
        photos={name: picture() for name in names[:3]}, other_photos={HOSTILE[0]: {names[0]: picture()}},
        explanations=[{"image": names[0], "caption": HOSTILE[1], "picture": picture()}], configuration="<i>config</i>: 1",
        versions={"evaluate, dev": {"captions": 1}},
    )  # fmt: skip


def table_rows(html: str) -> dict[tuple[str, int], list[str]]:
    """{(first cell, number of cells): the other cells} of all table rows, as text."""
    rows = [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr[^>]*>(.*?)</tr>", html, re.DOTALL)
    ]
    texts = [[re.sub("<[^>]+>", "", cell.replace("<small>", " ")) for cell in row] for row in rows]
    return {(row[0], len(row)): row[1:] for row in texts}


class Reader(HTMLParser):
    """What a browser would see: elements, attributes, and text outside of style."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.attributes, self.text, self.ids = [], [], "", []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def html() -> str:
    return render(full_page())


def test_hostile_texts_stay_texts(html):
    seen = Reader(html)
    assert not {"script", "i", "b", "iframe", "object"} & set(seen.tags)
    assert not [name for name in seen.attributes if name.startswith("on")]
    for text in HOSTILE:
        assert text in seen.text
    assert "Fits well & <i>good</i>." in seen.text


def test_length_variety_and_all_scores_stand_beside_bleu_for_the_run_and_its_baselines(html):
    rows = table_rows(html)
    interval = "0.123 to 0.568"
    assert rows["This run", 7] == ["0.600", "0.300", "0.200", f"0.150 {interval}", "0.457", f"0.432 {interval}"]
    assert rows["This run", 6] == ["8.6", "0.975", "623 62.3% of the photos", "412", "87.1%"]
    nearest = "Baseline: a caption of the nearest training photo"
    assert rows[nearest, 7] == ["0.600", "0.300", "0.200", "0.100", "0.457", "0.432"]
    assert rows[nearest, 6] == rows["This run", 6]
    bare = ["0.700", "0.350", "0.233", f"0.175 {interval}", "–", "–"]
    assert rows["This run, without brevity penalty", 7] == bare
    assert ("Baseline: this run’s captions, shuffled among the photos", 6) not in rows, "nothing to show"
    tiles = re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", html)
    assert ("distinct captions", "623<small>62.3% of the photos</small>") in tiles
    assert ("BLEU-4 above the nearest photo’s", "+0.050<small>compared with a look-up without a model</small>") in tiles


def test_the_gates_decision_is_shown_or_how_to_get_it(html):
    text = Reader(html).text
    assert f"Not promoted; the champion is {HOSTILE[1]}." in text
    scored = Page("r1", "dev", {"dev": {"scored": 9, "metrics": SCORE}}, {"train.seed": 0}, "vgg16")
    assert "spark-submit jobs/gate.py run.id=r1" in Reader(render(scored)).text
    scored.judgement = {"metrics": {"promoted": False, "champion": None, "reasons": ["BLEU-4 is lower"]}}
    assert "Not promoted; there is no champion yet.\nBLEU-4 is lower" in Reader(render(scored)).text


def test_the_page_is_one_file_with_unique_ids(html):
    seen = Reader(html)
    assert len(seen.ids) == len(set(seen.ids))
    assert {"http://", "https://"} & set(html.replace("http://www.w3.org", "").split('"')) == set()
    assert "@import" not in html
    assert 'src="data:image/' in html
    assert 'src="x"' not in html


def test_charts_hold_text_as_text(html):
    charts = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    texts = [re.findall(r"<text[^>]*>([^<]*)</text>", chart) for chart in charts]
    assert len(charts) == 7
    assert all(any(text.strip() for text in found) for found in texts)
    assert {"epoch", "loss", "validation", "best: 2"} <= {text.strip() for found in texts for text in found}
    assert not {"DejaVu", "#0101"} & set(re.findall("DejaVu|#0101", "".join(charts)))


def test_a_run_that_was_only_trained_has_a_page_that_says_what_is_missing():
    seen = Reader(render(Page("r1", "test", {}, {"train.seed": 0}, "vgg16")))
    for job in ("train", "evaluate", "validate_externally", "explain"):
        assert f"spark-submit jobs/{job}.py run.id=r1" in seen.text


def test_thumbnails_refuse_bombs_and_names_that_leave_the_folder(tmp_path):
    files = {"good.jpg": (80, 60), "bomb.png": (2000, 2000)}
    for name, size in files.items():
        Image.new("RGB", size, "red").save(tmp_path / name)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    (tmp_path / "inside").mkdir()
    Image.new("RGB", (80, 60)).save(tmp_path / "outside.jpg")

    class Disk:
        def read_bytes(self, path, most):
            with open(path, "rb") as stream:
                return stream.read(most)

    names = ["good.jpg", "bomb.png", "broken.jpg", "gone.jpg"]
    found = thumbnails(Disk(), str(tmp_path), names, Corpus(max_pixels=1_000_000))
    assert list(found) == ["good.jpg"]
    leaving = ["../outside.jpg", "..\\outside.jpg", str(tmp_path / "good.jpg"), "a/../../outside.jpg"]
    assert thumbnails(Disk(), str(tmp_path / "inside"), leaving, Corpus()) == {}


@pytest.fixture(scope="module")
def browser(tmp_path_factory, html):
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; apt-get install chromium")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def uri(tmp_path_factory, html) -> str:
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(html, encoding="utf-8")
    return path.as_uri()


WIDER = """(() => { const wide = document.documentElement.clientWidth;
    return [...document.querySelectorAll('main *, header *, footer *')]
      .filter(e => e.getBoundingClientRect().right > wide + 1 && !e.closest('.scroll, .strip, pre, svg'))
      .map(e => e.tagName + '.' + e.className); })()"""


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_overflows_nothing_complains_and_everything_is_readable(browser, uri, width, dark):
    browser.errors.clear()
    browser.open(uri, width, dark=dark)
    browser.run("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(WIDER) == []
    assert browser.run("document.title") == "Captioner run <b>run</b>"
    assert HOSTILE[0] in browser.run("document.querySelector('#captions').innerText")
    assert browser.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert browser.run("document.querySelectorAll('svg').length") >= 5
    paper, ink = browser.run("(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))")
    assert contrast(paper, ink) >= 7
    card, chart_ink = browser.run(
        "[document.querySelector('.chart'), document.querySelector('.chart svg text')].map(getComputedStyle)"
        ".map((style, place) => place ? style.fill : style.backgroundColor)"
    )
    assert contrast(card, chart_ink) >= 7
    assert (luminance(paper) < luminance(ink)) == dark
    assert browser.errors == []


def test_a_keyboard_is_enough(browser, uri):
    browser.open(uri, 1200)
    browser.press("Tab", 9)
    assert browser.run("document.activeElement.className") == "skip"
    assert browser.run("document.activeElement.getBoundingClientRect().left") >= 0
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("Enter", 13, "\r")
    assert browser.run("document.activeElement.id") == "content"
    browser.run("document.querySelector('#captions summary').focus()")
    assert not browser.run("document.activeElement.parentElement.open")
    browser.press("Enter", 13, "\r")
    assert browser.run("document.activeElement.parentElement.open")


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1) of `rgb(r, g, b)`."""
    parts = [int(part) / 255 for part in colour.strip("rgba()").split(",")[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
