"""The insurance of a houseboat: what each step waits for, and what it does."""

from triggers_core import TaskContext, trigger_task

SECTIONS = ["person", "boat", "berth"]

CONFIGURATION = {
    # A join: in whatever order the sections come in, one quote is made when all are here.
    "quote": {"after": SECTIONS, "run": "insurance.quote", "withParams": {"boat": {"age": 10}}},
    # One instance for each photo, be it the first or the tenth.
    "assess": {"after": ["photo"], "andEvery": "photo", "run": "insurance.assess"},
    # In the evening a reminder goes out, unless all sections have come in by then.
    "remind": {"after": ["evening"], "unless": SECTIONS, "run": "insurance.remind"},
    # A cascade: when the task "quote" has finished, it fires the trigger of its name.
    "policy": {"after": ["quote", "signature"], "run": "insurance.policy"},
}

EVENTS = [
    ("person", {"name": "M. Ozola", "years_afloat": 12}),
    ("boat", {"type": "tjalk", "metres": 17}),
    ("berth", {"harbour": "Westerdok"}),
    *(("photo", {"of": f"the {thing}"}) for thing in ("hull", "stove", "cat")),
    ("evening", {}),
    ("signature", {"place": "Amsterdam"}),
]


@trigger_task
def quote(context: TaskContext) -> dict[str, int]:
    person, boat = context.trigger_kwargs["person"], context.trigger_kwargs["boat"]
    return {"euros_a_year": 19 * boat["metres"] + boat["age"] - person["years_afloat"]}


@trigger_task
def assess(context: TaskContext) -> dict[str, str]:
    subject = context.trigger_kwargs["photo"]["of"]
    return {"verdict": f"{subject} is {'asleep' if 'cat' in subject else 'sound'}"}


@trigger_task
def remind(context: TaskContext) -> dict[str, str]:
    return {"missing": ", ".join(s for s in SECTIONS if s not in context.taken)}


@trigger_task
def policy(context: TaskContext) -> dict[str, str]:
    return {"insured": f"for € {context.trigger_kwargs['quote']['euros_a_year']} a year"}
