"""Faults by theme: a module a theme, each with its table `FAULTS`; `schedule` chooses among all of them."""
