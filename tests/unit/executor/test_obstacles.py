"""What a host lacks for an address: it counts as mended only after a while without a break."""

from __future__ import annotations

from daemon.obstacles import MENDED_FOR_NS, Obstacles


def test_an_obstacle_is_gone_only_after_a_while_and_a_return_of_it_begins_the_while_anew() -> None:
    obstacles, missing = Obstacles(), {"VIP"}
    obstacles.met("VIP")

    def look(address: str) -> str | None:
        return "no eth9" if address in missing else None

    assert obstacles.gone(look, 0) == []
    missing.clear()
    assert obstacles.gone(look, 10) == []
    assert obstacles.gone(look, 10 + MENDED_FOR_NS - 1) == []
    missing.add("VIP")
    assert obstacles.gone(look, 10 + MENDED_FOR_NS) == []
    missing.clear()
    assert obstacles.gone(look, 20 + MENDED_FOR_NS) == []
    assert obstacles.gone(look, 20 + 2 * MENDED_FOR_NS) == ["VIP"]
    assert obstacles.gone(look, 21 + 2 * MENDED_FOR_NS) == ["VIP"], "until somebody acts on it"


def test_what_is_held_or_wanted_no_more_is_forgotten() -> None:
    obstacles = Obstacles()
    obstacles.met("VIP")
    obstacles.met("V6")
    obstacles.forget(["VIP"])
    assert obstacles.known() == ("V6",)
    assert "VIP" not in obstacles
