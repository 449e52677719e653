"""The forms of caption files, one module a form, and the choice between them by a file's first lines.

To add a form, write a module with a class that has the attributes of `caption.Form`, and a function
`detect(head, columns)` that returns an instance of it or None; then add the function to FORMS. For example:

    @dataclass(frozen=True)
    class ColonLines:
        description: ClassVar[str] = "NAME: CAPTION"
        by_line: ClassVar[bool] = True
        has_splits: ClassVar[bool] = False
        numbered: ClassVar[bool] = False

        def parse(self, lines: Iterable[str]) -> Iterator[Caption]:
            for line in lines:
                name, colon, text = line.partition(": ")
                if line.strip():
                    yield Caption(name if colon else None, None, text, None, line)

    def detect(head: Head, columns: Columns) -> ColonLines | None:
        return ColonLines() if head.lines and all(".jpg: " in line for line in head.lines) else None
"""

from __future__ import annotations

from collections.abc import Callable

from jobs.driver.corpus.forms import coco, delimited, json_lines, json_list, karpathy, line_pattern
from jobs.driver.corpus.forms.caption import Form, Head
from jobs.driver.corpus.forms.columns import Columns

Detect = Callable[[Head, Columns], Form | None]
# In the order in which they are tried: the most exact first.
FORMS: tuple[Detect, ...] = (
    karpathy.detect, json_lines.detect, coco.detect, json_list.detect, line_pattern.detect, delimited.detect,
)  # fmt: skip


def form_of(head: Head, columns: Columns) -> Form | None:
    """The form of a caption file; None if the text is none.

    Raises:
        InputError: The form is ambiguous; the message names the key that decides.
    """
    return next((form for detect in FORMS if (form := detect(head, columns)) is not None), None)
