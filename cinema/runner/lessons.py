"""What a page says of an answer that its reader wrote: right, not yet and where to look, or none so far."""

from numbers import Number

import numpy as np
from IPython.display import Markdown

NONE_YET = "No answer yet: write one in the cell above and run it and this one."
RIGHT, NOT_YET = "**Right.**", "**Not yet.**"


def check(answer, right, wrong, close=0.02) -> Markdown:
    """What to say of `answer`; page.check.

    answer: `...` as long as the reader wrote nothing.
    right:  a whole number (matched exactly), another number (within the part `close` of it), text (without regard to
            case and spaces) or an array (its shape, and its values within `close`).
    wrong:  likely wrong answer -> what to look at then; a list of such pairs where answers are arrays.
    Raises ValueError for a check that cannot fail: without wrong answers, or that would call one of them right.
    """
    right = _plain(right)
    hints = [(_plain(mistake), hint) for mistake, hint in (wrong.items() if hasattr(wrong, "items") else wrong)]
    if not hints:
        raise ValueError("a check names no wrong answer; name a likely one and what to look at then")
    if not _same(right, right, close):
        raise ValueError(f"the answer {right} is not equal to itself; is it NaN?")
    for mistake, _ in hints:
        if _same(mistake, right, close):
            raise ValueError(f"the wrong answer {mistake} counts as {right} within {close}; choose a smaller `close`")
    if answer is ...:
        return Markdown(NONE_YET)
    answer = _plain(answer)
    if _same(answer, right, close):
        return Markdown(RIGHT)
    hint = next((hint for mistake, hint in hints if _same(answer, mistake, close)), None)
    return Markdown(f"{NOT_YET} {hint or _general(answer, right)}")


def _plain(value):
    """A number or a text as it is, anything else as an array; of an array without axes, what it holds."""
    if isinstance(value, (str, Number, np.bool_)):
        return value
    value = np.asarray(value.detach() if hasattr(value, "detach") else value)
    return value if value.ndim else value.item()


def _kind(value):
    return "a text" if isinstance(value, str) else "an array" if isinstance(value, np.ndarray) else "a number"


def _same(one, other, close):
    """True if `one` counts as `other`."""
    kind = _kind(other)
    if one is None or _kind(one) != kind:
        return False
    if kind == "a text":
        return "".join(one.lower().split()) == "".join(other.lower().split())
    if kind == "a number":
        whole = isinstance(other, (int, np.integer, np.bool_))
        return bool(one == other if whole else abs(one - other) <= close * abs(other))
    if one.shape != other.shape:
        return False
    numbers = {one.dtype.kind, other.dtype.kind} <= set("biufc")
    return bool(np.allclose(one, other, rtol=close) if numbers else np.array_equal(one, other))


def _general(answer, right):
    """A hint for an answer that nobody foresaw; it does not give the right one."""
    kind = _kind(right)
    if answer is None or _kind(answer) != kind:
        return f"The answer is {kind}."
    if kind == "an array":
        if answer.shape != right.shape:
            return f"The shape is {answer.shape}, and should be {right.shape}."
        return "The shape is right, some values are not."
    if kind == "a text" or isinstance(right, (bool, np.bool_)) or not np.isfinite(answer):
        return "Read the lines above the question once more."
    if right == 0 or answer == 0 or (answer > 0) != (right > 0):
        return "Look at the sign, and at what could make it zero."
    size, factor = ("large", answer / right) if abs(answer) > abs(right) else ("small", right / answer)
    return f"Close, but too {size}." if factor < 1.15 else f"Too {size}, by a factor of {factor:.2g}."
