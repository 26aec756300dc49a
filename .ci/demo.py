"""Reads the last line of `salvor demo --output json` and holds it against what README promises."""

import json
import sys

# Every guard of a stale recovery decides, each once.
GUARDS = 15


def check(act):
    assert act["outcome"] == "succeeded", act["outcome"]
    assert "stale" in act["path"].lower(), act["path"]
    assert len(act["trace_id"]) == 32, act["trace_id"]
    assert len(act["decisions"]) == GUARDS, len(act["decisions"])
    for decision in act["decisions"]:
        assert decision["guard"] and decision["claim"], decision
        assert "result" in decision and "reason" in decision, decision
    steps = [step["step"] for step in act["steps"]]
    assert steps[0] == "claim" and steps[-1] == "commit" and "create" in steps, steps
    print(f"demo: {act['path']}, {act['outcome']}, {len(act['decisions'])} decisions, {len(steps)} steps")
    return steps


story = json.loads(sys.stdin.read())
assert story["verified"] and not story["problems"], story["problems"]
check(story)
second = story["second_act"]
assert "restore_workspace" in check(second), second["steps"]
assert second["lost_id"] == story["live_id"] != second["live_id"]
assert second["snapshot"].startswith("gateways/demo/snapshots/"), second["snapshot"]
