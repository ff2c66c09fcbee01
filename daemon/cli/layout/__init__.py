"""How things look on a terminal: pure functions from documents to lines, in the layouts that pcs made familiar."""
