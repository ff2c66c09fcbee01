from __future__ import annotations

from daemon.tomllines import LineIndex

TEXT = '''\
top = 1
[a]
x = """
[not.a.table]
y = 2
"""
list = [
  "one = 1",   # ]
  [2],
]
z.deep = 3
[[b]]
k = 1
[b.c]
k = 2
[[b]]
"quoted key" = 5
'''


def test_every_key_is_found_on_its_line() -> None:
    index = LineIndex(TEXT)
    assert index.line(["top"]) == 1
    assert index.line(["a"]) == 2
    assert index.line(["a", "x"]) == 3
    assert index.line(["a", "list"]) == 7
    assert index.line(["a", "z", "deep"]) == 11
    assert index.line(["b", 0, "k"]) == 13
    assert index.line(["b", 0, "c", "k"]) == 15
    assert index.line(["b", 1]) == 16
    assert index.line(["b", 1, "quoted key"]) == 17


def test_what_is_not_there_is_placed_at_the_table_around_it() -> None:
    index = LineIndex(TEXT)
    assert index.line(["a", "list", 1, "x"]) == 7
    assert index.line(["a", "missing"]) == 2
    assert index.line(["missing"]) is None
