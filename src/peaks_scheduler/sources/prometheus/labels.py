"""The labels of one series, kept as compact JSON.

A dict of ten labels takes more than a kilobyte, and an answer with many short labels fifteen times its own size; as
JSON it takes what was sent. Labels are equal in any order, and may be keys of a dict. Pure.
"""

from collections.abc import Callable, ItemsView, Iterator, Mapping

import msgspec

LabelMap = Mapping[str, str]
"""Name -> value; ``Labels`` or a dict."""

_decode = msgspec.json.Decoder(dict[str, str]).decode


class Labels(Mapping[str, str]):
    """Labels of one series. Every access decodes them: for many accesses take ``dict(labels.items())``.

    Raises ValueError for text that is no Unicode.
    """

    __slots__ = ("_json",)

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._json: bytes = labels._json if isinstance(labels, Labels) else msgspec.json.encode(labels, order="sorted")

    @property
    def size(self) -> int:
        """[bytes] of the JSON."""
        return len(self._json)

    def without(self, drop: Callable[[str], bool]) -> "Labels":
        """The labels whose name ``drop`` is false for."""
        items = self.items()
        return Labels({name: value for name, value in items if not drop(name)}) if any(map(drop, self)) else self

    def items(self) -> ItemsView[str, str]:
        return _decode(self._json).items()

    def __getitem__(self, name: str) -> str:
        return _decode(self._json)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_decode(self._json))

    def __len__(self) -> int:
        return len(_decode(self._json))

    def __eq__(self, other: object) -> bool:
        return self._json == other._json if isinstance(other, Labels) else super().__eq__(other)

    def __hash__(self) -> int:
        return hash(self._json)

    def __repr__(self) -> str:
        return repr(dict(self.items()))
