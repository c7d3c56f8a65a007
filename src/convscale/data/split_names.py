"""Which split a name means: train, validation or test in any of their spellings, as `train2017` or `Testing Data`."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

SPLITS = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_WORDS = SPLITS | {
    "trainval": "train", "trainvalidation": "train",
    "validate": "validation", "validating": "validation", "development": "validation",
    "tests": "test", "eval": "test", "evaluation": "test", "evaluate": "test", "holdout": "test", "heldout": "test",
}  # fmt: skip
_SHORT = {
    "tr": "train", "trn": "train", "va": "validation", "vl": "validation", "vld": "validation",
    "te": "test", "ts": "test", "tst": "test",
}  # fmt: skip
_BESIDE = (
    "set|sets|data|dataset|datasets|subset|split|splits|part|partition|image|images|img|imgs|picture|pictures|pic|pics|"
    "photo|photos|sample|samples|file|files|folder|dir|label|labels|labelled|labeled|annotation|annotations|metadata|v|x"
)
_COMPOUND = re.compile(rf"(?:{_BESIDE})?({'|'.join(sorted(_WORDS, key=len, reverse=True))})(?:{_BESIDE})?")


@dataclass(frozen=True, slots=True)
class SplitName:
    """A name that may mean a split. rest: its words that have nothing to do with splits. plain: whether nothing but a
    split is likely to be called that: no other word, and no short form as `tr`."""

    split: str
    rest: tuple[str, ...]
    plain: bool


def split_name(name: str) -> SplitName | None:
    """The split that a name of a folder or file (without its suffix), or a value in a table, may mean."""
    text = unicodedata.normalize("NFKC", name)
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).casefold()
    text = re.sub(r"(hold|held)[\W_]*out", r"\1out", text)
    found: set[str] = set()
    rest, plain = [], True
    for word in re.findall(r"[^\W\d_]+", text):
        if match := _COMPOUND.fullmatch(word):
            found.add(_WORDS[match[1]])
        elif word in _SHORT:
            found.add(_SHORT[word])
            plain = False
        elif not re.fullmatch(_BESIDE, word):
            rest.append(word)
    if found == {"train", "validation"}:
        found = {"train"}  # the two together
    if len(found) != 1:
        return None
    return SplitName(found.pop(), tuple(rest), plain and not rest)
