"""Run a simulated day: from event to event, or tick by tick, which comes to the same.

A tick at which nothing can happen need not be simulated. After each plan the rules say until when,
and within which bounds of the load, nothing more is to do; the next tick that is looked at is the
first at or after that instant, or after the load leaves the bounds as ticks see it, or after a
pilot finishes or dies. After a plan that did more than remove and spawn it is the very next tick.
"""

from plancton_tick.ctl.simulate_act import Hands
from plancton_tick.ctl.simulate_rules import Rules
from plancton_tick.ctl.simulate_steps import tick_from
from plancton_tick.ctl.simulate_world import World
from plancton_tick.model import Plan, Reap, Spawn

# A plan says what keeps one more pilot from being spawned once these are done.
FORESEEN = (Reap, Spawn)


def run_day(
    world: World, hands: Hands, rules: Rules, seconds: float, *, every_tick: bool = False
) -> int:
    """Let ticks fire from 0 on, before ``seconds``; return how many decisions were made."""
    cadence = rules.cadence
    tick, last = 0, tick_from(seconds, cadence)
    decisions = 0
    while tick < last:
        world.advance(tick * cadence)
        plan = rules.plan(world)
        decisions += 1
        hands.apply(plan)
        tick = tick + 1 if every_tick else _next_tick(world, rules, plan, tick, last)
    world.advance(seconds)
    world.settle()
    return decisions


def _next_tick(world: World, rules: Rules, plan: Plan, tick: int, last: int) -> int:
    """Return the next tick at which the plan may be another."""
    if not all(isinstance(action, FORESEEN) for action in plan.actions):
        return tick + 1
    rest = rules.rest(world, plan)
    cadence = rules.cadence
    until = min(rest.until, last * cadence)
    first = tick + 1
    while True:
        # An instant that is a sum of others may be a hair after the tick that it is meant for.
        end = tick_from(until - 1e-6, cadence)
        if world.next_change < until:
            end = min(end, tick_from(world.next_change, cadence))
        if end > first:
            left = world.steps.find_exit(rest.band, first, cadence, end * cadence)
            if left is not None:
                return left
            first = end
        if until <= world.next_change or world.next_change_is_seen:
            return first
        world.advance(world.next_change)
