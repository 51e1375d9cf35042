"""Generated trees of scopes: played by an integration, and told what they come to without it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import strategies as st

from secoda_async import SecodaIntegration, Skip
from tests.integrations import edge, table


class Boom(Exception):
    """What a generated step raises."""


Step = tuple[Any, ...]


def trees() -> st.SearchStrategy[list[Step]]:
    """Steps of an ``extract``: declare so many, fail, lose one, or a scope with steps of its own."""
    leaf = st.one_of(st.tuples(st.just("declare"), st.integers(1, 400)), st.just(("fail",)), st.just(("lose",)))
    return st.lists(
        st.recursive(
            leaf,
            lambda inner: st.tuples(
                st.sampled_from(["scope", "together"]),
                st.sampled_from(["fail", "skip", "other"]),
                st.lists(inner, max_size=4),
            ),
            max_leaves=12,
        ),
        max_size=5,
    )


class Model:
    """What a sync should hold: each record counts where its scope ended well, and all scopes around it did.

    Usage: ``records, raised, lost = Model().of(tree)``.
    """

    def __init__(self) -> None:
        self._records = 0

    def of(self, tree: list[Step], policy: str = "fail") -> tuple[list[str], bool, bool]:
        """The ids of one scope, whether it raises, and whether it loses something that no policy absorbs."""
        found: list[str] = []
        lost = False
        for step in tree:
            match step:
                case ("declare", int(count)):
                    found += [str(self._records + n) for n in range(count)]
                    self._records += count
                case ("fail",):
                    return found, True, lost
                case ("lose",):
                    lost = True
                case (_, inner_policy, inner):
                    got, raised, inner_lost = self.of(list(inner), inner_policy)
                    if raised and inner_policy == "skip" and not inner_lost:
                        continue
                    lost |= inner_lost
                    if raised:
                        return found, True, lost
                    found += got
        return found, False, lost


class Player:
    """Plays a tree in an ``extract``; ``tick`` is awaited before each record."""

    def __init__(self, tick: Callable[[], Awaitable[None]]) -> None:
        self._tick = tick
        self._names = iter(range(10**6))
        self._records = iter(range(10**6))

    async def play(self, integration: SecodaIntegration, tree: list[Step]) -> None:
        for step in tree:
            match step:
                case ("declare", int(count)):
                    for _ in range(count):
                        await self._tick()
                        number = next(self._records)
                        await integration.declare_resource(table(number, description="x" * 300))
                        await integration.declare_lineage(edge(number, number))
                case ("fail",):
                    raise Boom
                case ("lose",):
                    with pytest.raises(ValueError, match="surrogate"):
                        integration.declare_resource(table("\ud800"))
                case (how, policy, inner):
                    on_error: Any = {"skip": Skip(Boom), "other": Skip(KeyError)}.get(policy, "fail")
                    async with integration.scope(f"s{next(self._names)}", on_error=on_error):
                        if how == "scope":
                            await self.play(integration, list(inner))
                        else:
                            async with asyncio.TaskGroup() as group:
                                await group.create_task(self.play(integration, list(inner)))
