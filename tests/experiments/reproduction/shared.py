"""A concept for the tiny model, and what of a result two runs of the same have in common."""

CONCEPT = """
name: {name}
target_prompts: [a {name}, a {name} in a room]
base_prompts: [a thing, a room]
eval_prompts: [one {name}, two {name}s]
labels: ["object:{name}"]
retained: {{a golf: "object:golf", a saw: "object:saw", a bus: "object:bus"}}
settings: {{skill_ratio: 0.2, tau: 2, steps: 3, guidance: 3.0}}
"""


def comparable(data):
    """Without what two runs of the same may differ in: dates, times, memory, command and commit."""
    apart = ("date", "command", "commit", "peak_mib", "seconds")
    if isinstance(data, dict):
        return {k: comparable(v) for k, v in data.items() if k not in apart and "_seconds" not in k}
    return [comparable(v) for v in data] if isinstance(data, list) else data
