"""Errors that the user can fix, and how errors of libraries are quoted in messages."""


class InputError(ValueError):
    """A configuration or an input that cannot be used.

    The message is one line: `KEY or file: found X, expected Y; what to do`. A job that raises it exits with code 2, and
    the message is the last line on stderr.
    """


def message_line(error: Exception, length: int | None = None) -> str:
    """An exception's message as one line, of at most `length` characters if a length is given."""
    return " ".join(str(error).split())[:length]


def one_line(error: Exception, length: int = 200) -> str:
    """An exception's type and message as one line of at most `length` characters, to be quoted in a message."""
    return f"{type(error).__name__}: {message_line(error)}".rstrip()[:length]
