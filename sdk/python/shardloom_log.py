"""Writes to the node's log."""

from wit_world.imports import logging

#: What a line is about, where the guest says nothing else.
CONTEXT = "handler"


def trace(message: object, context: str = CONTEXT) -> None:
    """Values of variables and the flow of control."""
    logging.log(logging.Level.TRACE, context, str(message))


def debug(message: object, context: str = CONTEXT) -> None:
    """Of interest to somebody who debugs the guest."""
    logging.log(logging.Level.DEBUG, context, str(message))


def info(message: object, context: str = CONTEXT) -> None:
    """Of interest to somebody who watches the guest."""
    logging.log(logging.Level.INFO, context, str(message))


def warn(message: object, context: str = CONTEXT) -> None:
    """A hazard."""
    logging.log(logging.Level.WARN, context, str(message))


def error(message: object, context: str = CONTEXT) -> None:
    """A serious error."""
    logging.log(logging.Level.ERROR, context, str(message))


def critical(message: object, context: str = CONTEXT) -> None:
    """A fatal error."""
    logging.log(logging.Level.CRITICAL, context, str(message))


def described(error: Exception) -> str:
    """An exception and where it came about. `traceback` would look for the source, and a guest has no files."""
    lines = [f"{type(error).__name__}: {error}"]
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        lines.append(f"  {code.co_filename}:{step.tb_lineno} in {code.co_name}")
        step = step.tb_next
    return "\n".join(lines)
