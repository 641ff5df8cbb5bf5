"""Refusals: one sentence that names the thing and the mend."""

import pytest

from robench.errors import InputError


def refused(call, *words) -> None:
    """One sentence, with these words."""
    with pytest.raises(InputError) as caught:
        call()
    sentence = str(caught.value)
    for word in words:
        assert str(word) in sentence
    assert sentence[-1] in ".?"
    assert "\n" not in sentence
