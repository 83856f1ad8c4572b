"""What stops a calibration: a stable code, a sentence, and the command's exit code."""

from __future__ import annotations

NO_RATING = 1  # the runs were made and give no rating
WRONG_USE = 2
ENGINE = 3  # the engine cannot be reached, refuses, or does not count


class CalibrationProblem(Exception):
    """The calibration cannot go on; ``code`` is stable, ``exit_code`` what the command ends with."""

    def __init__(self, code: str, message: str, *, exit_code: int = ENGINE) -> None:
        super().__init__(message)
        self.code = code
        self.exit_code = exit_code
