"""What a broken invariant raises."""


class ViolationError(AssertionError):
    """An invariant is broken; the text says which and how."""
