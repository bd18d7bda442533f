"""Settings that many algorithms have, checked alike."""

MOST_STEPS = 100_000
"""Beyond which a number of steps is a slip, or a file that is to keep a machine busy."""


def check_steps(inner_steps: int, least: int = 0) -> None:
    """Raise `ValueError` for fewer than `least` inner steps, or more than any method takes."""
    if inner_steps > MOST_STEPS:
        raise ValueError(f"inner_steps={inner_steps}: expected {MOST_STEPS} or fewer")
    if inner_steps < least:
        raise ValueError(f"inner_steps={inner_steps}: expected {least} or more")


def check_order(order: int) -> None:
    """Raise `ValueError` unless it is a derivative order."""
    if order not in (1, 2):
        raise ValueError(f"order={order}: expected 1 (first order) or 2 (second order)")


def last_alone(inner_steps: int) -> tuple[float, ...]:
    """Weights of the query losses after 0, 1, ..., S inner steps: that after the last one counts alone."""
    return (*[0.0] * inner_steps, 1.0)
