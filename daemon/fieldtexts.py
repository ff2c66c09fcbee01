"""What stands below the fields of a class, for pages that are made from code."""

from __future__ import annotations

import ast
import inspect


def field_texts(struct: type) -> dict[str, str]:
    """Field → the string literal below it, on one line: Python forgets it, the source does not."""
    (body,) = ast.parse(inspect.getsource(struct)).body
    assert isinstance(body, ast.ClassDef)
    told = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                told[name] = " ".join(words.split())
    return told
