"""Equal content has equal bytes, whatever its layout."""

import pytest

from application.flow_documents import digest, normalised
from domain.errors import InvalidFlow

ONE = "flow:\n  name: x  # a comment\n  steps:\n  - action: log\n    config: {message: hi}\n"
SAME = '{"flow": {"steps": [{"config": {"message": "hi"}, "action": "log"}], "name": "x", "graph": {"a": 1}}}'


def test_comments_layout_order_and_graph_do_not_count() -> None:
    assert normalised(ONE) == normalised(SAME) == b'{"name":"x","steps":[{"action":"log","config":{"message":"hi"}}]}'
    assert digest(ONE) == digest(SAME)
    assert len(digest(ONE)) == 64


def test_values_and_their_types_count() -> None:
    assert digest(ONE) != digest(ONE.replace("hi", "ho"))
    assert digest("a: 1") != digest("a: '1'")


def test_an_unreadable_document_has_no_content() -> None:
    with pytest.raises(InvalidFlow):
        normalised("a: [")
