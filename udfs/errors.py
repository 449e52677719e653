"""The errors that are the user's to mend."""


class InputError(ValueError):
    """A configuration or an input that cannot be used.

    The message is one line: the key or file, what was found, what was expected and what to do. A job that meets one
    ends with exit code 2 and that line last on stderr.
    """
