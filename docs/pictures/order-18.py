"""Prints the graph of one order, as ``triggers graph --session`` does: packed, and not yet paid."""

from triggers_core import MemoryStorage, TriggerManager
from triggers_core.insight.graph import to_dot
from triggers_core.insight.viewing import facts_of

order = TriggerManager("order 18", storage=MemoryStorage())
order.update_configuration(
    {
        "ship": {"after": ["paid", "packed"], "run": "__main__.ship", "using": "threading"},
        "tell": {"after": ["ship"], "run": "__main__.tell", "using": "threading"},
    }
)
order.fire("packed", {"parcel": "a map"})
facts = facts_of(order)
print(to_dot(facts.configuration, facts.instances, fired=facts.fired))
