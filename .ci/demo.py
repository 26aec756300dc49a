"""Reads the last line of `salvor demo --output json` and holds it against what README promises."""

import json
import sys

story = json.loads(sys.stdin.read())
assert story["outcome"] == "succeeded", story["outcome"]
assert "stale" in story["path"].lower(), story["path"]
assert len(story["trace_id"]) == 32, story["trace_id"]
assert len(story["decisions"]) == 12, len(story["decisions"])
for decision in story["decisions"]:
    assert decision["guard"] and decision["claim"], decision
    assert "result" in decision and "reason" in decision, decision
steps = [step["step"] for step in story["steps"]]
assert steps[0] == "claim" and steps[-1] == "commit" and "create" in steps, steps
print(f"demo: {story['path']}, {story['outcome']}, {len(story['decisions'])} decisions, {len(steps)} steps")
