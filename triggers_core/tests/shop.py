"""What tests of the worker's side configure: a task to be run, and one that its end starts."""

SHIP = {"after": ["paid"], "run": "shop.ship"}
BILL = {"after": ["t_ship"], "run": "shop.bill"}


def fail(context):
    raise RuntimeError("out of stock")
