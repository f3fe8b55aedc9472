import numpy as np
import pytest

from unrolled.data.tokenizers import CharTokenizer
from unrolled.diagnostics.differences import largest

TEXT = "a cat sat on a mat and saw two dogs run over green hills while rain fell.\n"


def test_the_largest_gains_in_their_text() -> None:
    tokenizer = CharTokenizer(name="char", minimum_count=1, lowercase=False)
    tokenizer.train(TEXT)
    ids = np.concatenate([[tokenizer.start_id], tokenizer.encode(TEXT)])
    gains = np.zeros(len(TEXT))
    gains[[10, 12, 40, 60]] = [3.0, 2.9, 5.0, -1.0]
    found = largest(gains, range(1, len(ids)), ids, tokenizer, 5)
    # Nearer than five characters tells the same story, and what is lost is no gain.
    assert [one.place for one in found] == [40, 10]
    assert [one.gain for one in found] == pytest.approx([5, 3])
    for one in found:
        assert TEXT[: one.place].endswith(one.context)
        assert TEXT[one.place] == one.token
    assert found[1].context == TEXT[:10]
    assert len(largest(gains, range(1, len(ids)), ids, tokenizer, 1)) == 1
