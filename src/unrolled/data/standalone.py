"""A tokenizer of ours as one file of the ``tokenizers`` library, that needs nothing else.

What ``TextTokenizer`` does to text before the library sees it (tags, case, lines and their ends)
is written into the file as normalizers and pre-tokenizers. HTML is taken out by patterns there,
which agree with the parser on ordinary markup; whoever writes a file compares both on real text.
"""

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors

from unrolled.data.text_tokenizer import END_OF_SENTENCE, TextTokenizer

# What Python's splitlines() cuts at.
LINE_END = Regex("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
FINAL_SIGMA = Regex(r"(?<=\p{L})Σ(?!\p{L})")
HTML = (
    (Regex(r"(?im)<!--.*?-->"), ""),
    (Regex(r"(?im)<(script|style)\b[^>]*>.*?</\1\s*>"), "  "),
    (Regex(r"<![^>]*>|<\?[^>]*>"), ""),
    (Regex(r"</?[a-zA-Z][^>]*>"), " "),
)
# The last one last: what it gives is not read again.
ENTITIES = {
    "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#34;": '"', "&apos;": "'", "&#39;": "'",
    "&#x27;": "'", "&nbsp;": "\xa0", "&ndash;": "–", "&mdash;": "—", "&lsquo;": "‘",
    "&rsquo;": "’", "&ldquo;": "“", "&rdquo;": "”", "&hellip;": "…", "&amp;": "&",
}  # fmt: skip


def standalone(tokenizer: TextTokenizer, *, whole: bool) -> Tokenizer:
    """The library's tokenizer that gives the ids of ``tokenizer``.

    Args:
        whole: as ``encode`` has them, where the last line of a text ends, too; otherwise as
            ``encode_prompt`` has them. Encoding with ``add_special_tokens=False`` leaves the last
            end out.
    """
    assert tokenizer.library is not None
    library = Tokenizer.from_str(tokenizer.library.to_str())
    settings = tokenizer.settings
    steps: list[normalizers.Normalizer] = []
    if settings.get("strip_html"):
        steps += [normalizers.Replace(tag, by) for tag, by in HTML]
        steps += [normalizers.Replace(entity, by) for entity, by in ENTITIES.items()]
    if settings.get("lowercase"):
        # Python's lower() knows the sigma that ends a word, and the library's does not.
        steps += [normalizers.Replace(FINAL_SIGMA, "ς"), normalizers.Lowercase()]
    if settings.get("end_of_sentence"):
        if whole:
            steps.append(normalizers.Replace(Regex(r"\n\z"), ""))
            end = tokenizer.end_of_sentence_id
            library.post_processor = processors.TemplateProcessing(
                single=f"$A {END_OF_SENTENCE}", special_tokens=[(END_OF_SENTENCE, end)]
            )
        steps.append(normalizers.Replace("\n", f" {END_OF_SENTENCE} "))
    elif not tokenizer.cuts_anywhere and (whole or "end_of_sentence" not in settings):
        # The text of a prompt is cut into lines by word tokenizers, whose words cross none anyhow.
        cut = pre_tokenizers.Split(LINE_END, behavior="merged_with_previous")
        own = library.pre_tokenizer
        library.pre_tokenizer = cut if own is None else pre_tokenizers.Sequence([cut, own])
    if library.normalizer is not None:
        steps.append(library.normalizer)
    if steps:
        library.normalizer = normalizers.Sequence(steps)
    return library


def first_difference(
    tokenizer: TextTokenizer, library: Tokenizer, text: str, *, whole: bool
) -> str:
    """Where the ids of both differ first in a text, in words; empty where they are the same."""
    ours = (tokenizer.encode(text) if whole else tokenizer.encode_prompt(text)).tolist()
    encoding = library.encode(text)
    theirs = encoding.ids
    if ours == theirs:
        return ""
    pairs = zip(ours, theirs, strict=False)
    place = next((i for i, (one, other) in enumerate(pairs) if one != other), None)
    if place is None:
        return f"{len(ours):,} tokens here and {len(theirs):,} there"
    start = encoding.offsets[place][0]
    near = text[max(0, start - 20) : start + 20]
    return (
        f"token {place + 1:,} is {tokenizer.token(ours[place])!r} here and "
        f"{tokenizer.token(theirs[place])!r} there, near {near!r}"
    )
