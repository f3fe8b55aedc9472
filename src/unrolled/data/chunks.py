"""Running text in chunks that can be tokenized apart: their ids are those of the whole."""

from collections.abc import Iterator

from unrolled.data.text_tokenizer import BETWEEN_WORDS, LONGEST

# Characters of a chunk, about.
CHUNK = 1 << 21
# Characters that decide how a capital sigma is written small.
CONTEXT = 1000


def chunks(blocks: Iterator[str], anywhere: bool) -> Iterator[tuple[str, bool]]:
    """Chunks, and whether the line goes on after each.

    They are cut after a line break; in a longer line before a space between two words, and in one
    without such a space nowhere, or at any character where ``anywhere`` allows it.

    Args:
        anywhere: whether the tokenizer lets a line be cut at any character.
    """
    held, wanted = "", CHUNK
    for block in blocks:
        held += block
        while len(held) >= wanted:
            end = _end(held, anywhere)
            if not end:
                # Looking again after each block would take a time that grows with its square.
                wanted = 2 * len(held)
                break
            yield held[:end], held[end - 1] != "\n"
            held, wanted = held[end:], CHUNK
    if held:
        yield held, False


def _end(text: str, anywhere: bool) -> int:
    """Where to cut; 0: nowhere."""
    if end := text.rfind("\n") + 1:
        return end
    for start in range(len(text) - LONGEST, 0, -LONGEST):
        if found := BETWEEN_WORDS.search(text, start):
            return found.start()
    for end in range(len(text) - CONTEXT, 0, -CONTEXT) if anywhere else ():
        if "Σ" not in text[end - CONTEXT : end + CONTEXT]:
            return end
    return 0
