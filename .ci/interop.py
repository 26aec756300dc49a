"""Every service, called by grpcurl with JSON; what each answer must say is checked.

Usage: interop.py GRPCURL REGISTRY ADAPTER RECOVERY GATEWAY CONTROL (addresses as host:port)
"""

import json
import sys
import urllib.request
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "lib"))
from openshell import SandboxClient
from wire import ADAPTER, RECOVERY, REGISTRY, Wire, check, is_healthy, recover, until

GRPCURL, AT_REGISTRY, AT_ADAPTER, AT_RECOVERY, AT_GATEWAY, AT_CONTROL = sys.argv[1:]
wire = Wire(GRPCURL, AT_REGISTRY, AT_ADAPTER, AT_RECOVERY)
LAB = "gateways/lab"
NAME = f"{LAB}/workspaces/default/sandboxes/agent"


def reflection_and_health():
    for service, address in wire.addresses.items():
        until(f"{service} answers", lambda: wire.raw(address, "list").returncode == 0, 20)
        listed = wire.raw(address, "list").stdout.split()
        mine = [name for name in listed if name.startswith("salvor.")]
        check(f"{address} lists the one salvor service that it serves", mine == [service], listed)
        described = wire.raw(address, "describe", service)
        check(f"{service} can be described", f"service {service.rsplit('.', 1)[1]} {{" in described.stdout,
              described.stderr)
        for named in (service, ""):
            health = wire.raw("-d", json.dumps({"service": named}), address, "grpc.health.v1.Health/Check")
            check(f"health of {named or 'the server'} is SERVING", '"SERVING"' in health.stdout, health.stderr)


def gateways():
    body = {"gateway": {"name": LAB, "endpoint": f"http://{AT_GATEWAY}"}, "request_id": str(uuid.uuid4())}
    made = wire.call(REGISTRY, "RegisterGateway", body)["gateway"]
    again = wire.call(REGISTRY, "RegisterGateway", body)["gateway"]
    check("registering again with the same request_id answers the same", made["etag"] == again["etag"], again)
    until("the adapter says that the gateway is healthy", lambda: is_healthy(wire, LAB), 20)
    view = wire.call(ADAPTER, "ProbeGateway", {"gateway": LAB})["view"]
    check("ProbeGateway names the version and the identity",
          "0.0" in json.dumps(view) and "identity" in json.dumps(view).lower(), view)


def errors():
    unknown = wire.refused(REGISTRY, "GetGateway", {"name": "gateways/nope"})
    check("an unknown gateway is NOT_FOUND with a reason",
          (unknown.code, unknown.reason) == ("NOT_FOUND", "GATEWAY_NOT_FOUND"), str(unknown))
    check("its details are readable through reflection alone, with domain and next step",
          unknown.info.get("domain") == "salvor" and unknown.info["metadata"].get("next_step"), unknown.info)
    bad = wire.refused(RECOVERY, "GetStatus", {"name": "agent"})
    check("a malformed name is INVALID_ARGUMENT with a reason",
          (bad.code, bad.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD"), str(bad))
    missing = wire.refused(RECOVERY, "GetStatus", {"name": NAME})
    check("an unknown record is NOT_FOUND",
          (missing.code, missing.reason) == ("NOT_FOUND", "SANDBOX_NOT_FOUND"), str(missing))


def adoption(client):
    made = client.create(workspace="default", name="agent", labels={"team": "blue"})
    client.wait_ready("agent", workspace="default", timeout_seconds=30)
    live = wire.call(ADAPTER, "ListLiveSandboxes", {"gateway": LAB, "workspace": "default"})
    check("the adapter lists what the SDK created",
          [row["sandbox"]["sandbox"] for row in live["sandboxes"]] == ["agent"], live)
    rules = {"roots": ["/sandbox"], "excludes": ["*.tmp"]}
    record = wire.call(RECOVERY, "AdoptSandbox", {"name": NAME, "snapshot_rules": rules})["sandbox"]
    check("adoption records the live id", made.id in json.dumps(record), record)
    listed = wire.call(REGISTRY, "ListSandboxes", {})["sandboxes"]
    check("the registry lists the record", [row["name"] for row in listed] == [NAME], listed)
    return made.id


def reads():
    guards = wire.call(RECOVERY, "ListGuards", {})["guards"]
    stale = [guard["id"] for guard in guards if guard["saga"] == "SAGA_STALE_RECOVERY"]
    check("ListGuards has the guards of a stale recovery with their claims",
          "absence_has_settled" in stale and all(guard.get("claim") for guard in guards), stale)
    status = wire.call(RECOVERY, "GetStatus", {"name": NAME})["status"]
    check("GetStatus of a live sandbox says LIVE", status["verdict"] == "VERDICT_LIVE", status)
    plan = wire.call(RECOVERY, "PlanRecovery", {"name": NAME})["plan"]
    check("PlanRecovery of a live sandbox plans nothing", not plan.get("saga"), plan)
    rebuild = wire.call(RECOVERY, "PlanRecovery", {"name": NAME, "path": "RECOVERY_PATH_REBUILD"})["plan"]
    check("a rebuild's plan says what is covered, what is left out, and what is lost",
          rebuild["allowed"] and rebuild["source"]["covered"] == ["/sandbox"]
          and rebuild["source"]["excluded"] == ["*.tmp"] and rebuild["losses"], rebuild)
    forced = wire.refused(RECOVERY, "RecoverSandbox",
                          {"name": NAME, "path": "RECOVERY_PATH_REVIVE", "validate_only": True})
    check("reviving what is live is refused with one violation per denial and a stable reason",
          forced.code == "FAILED_PRECONDITION" and forced.violations and forced.reason, str(forced))
    print(f"    refused with {forced.reason}: {[v['type'] for v in forced.violations]}")


def snapshot(client, live_id):
    """Writes a file, and takes a snapshot with it. Answers its name."""
    written = client.exec(live_id, ["sh", "-c", "echo kept >/sandbox/note.txt; echo not >/sandbox/note.tmp"])
    check("a file is written", written.exit_code == 0, written)
    started = wire.call(RECOVERY, "SnapshotSandbox", {"name": NAME})["recovery"]["name"]
    done = wire.call(RECOVERY, "WaitRecovery", {"name": started, "timeout": "50s"})["recovery"]
    check("the snapshot SUCCEEDED", done["state"] == "STATE_SUCCEEDED", done)
    listed = wire.call(ADAPTER, "ListSnapshots", {"gateway": LAB})["snapshots"]
    check("ListSnapshots has it, complete",
          [(s["name"], s["state"]) for s in listed] == [(done["result"]["snapshotTaken"], "STATE_COMPLETE")], listed)
    return listed[0]["name"]


def lose():
    order = json.dumps({"do": "lose", "sandbox": "agent"}).encode()
    request = urllib.request.Request(f"http://{AT_CONTROL}/control", data=order, method="POST")
    urllib.request.urlopen(request, timeout=10).read()


def recovery(old_id, client, taken):
    def lost():
        return wire.call(RECOVERY, "GetStatus", {"name": NAME})["status"]["verdict"] == "VERDICT_LOST"

    until("GetStatus says LOST", lost, 30)
    print("ok  GetStatus says LOST once the absence has settled")
    plan = wire.call(RECOVERY, "PlanRecovery", {"name": NAME})["plan"]
    check("PlanRecovery plans an allowed stale recovery, every decision ALLOW",
          plan["saga"] == "SAGA_STALE_RECOVERY" and plan.get("allowed")
          and {decision["result"] for decision in plan["decisions"]} == {"RESULT_ALLOW"}, plan)
    rehearsed = wire.call(RECOVERY, "RecoverSandbox",
                          {"name": NAME, "validate_only": True, "settle_timeout": "30s"})
    check("validate_only gives the plan and starts nothing",
          rehearsed["plan"].get("allowed") and "recovery" not in rehearsed, rehearsed)
    made = wire.call(RECOVERY, "ListRecoveries", {})["recoveries"]
    check("no recovery was made by reading", [one["saga"] for one in made] == ["SAGA_SNAPSHOT"], made)
    done = recover(wire, NAME)
    check("the recovery SUCCEEDED", done["state"] == "STATE_SUCCEEDED" and done["done"], done)
    ref = client.get("agent", workspace="default")
    check("the gateway has the sandbox READY under a new id, with its labels",
          ref.id == done["result"]["liveId"] != old_id and dict(ref.labels) == {"team": "blue"}, done)
    ran = client.exec(ref.id, ["sh", "-c", "echo $((40 + 2))"])
    check("and it runs commands", ran.stdout == "42\n", ran)
    check("the snapshot was restored", done["result"]["snapshotRestored"] == taken, done)
    ran = client.exec(ref.id, ["sh", "-c", "cat /sandbox/note.txt; ls /sandbox"])
    check("what was written is there, but for what is left out", ran.stdout.split() == ["kept", "note.txt"], ran)
    kept = wire.call(RECOVERY, "ListDecisions", {"parent": done["name"]})["decisions"]
    check("every decision is kept",
          {decision["guard"] for decision in kept} == {decision["guard"] for decision in plan["decisions"]}, kept)
    status = wire.call(RECOVERY, "GetStatus", {"name": NAME})["status"]
    check("GetStatus says LIVE again", status["verdict"] == "VERDICT_LIVE", status)


reflection_and_health()
gateways()
errors()
with SandboxClient(AT_GATEWAY) as sdk:
    old = adoption(sdk)
    reads()
    taken = snapshot(sdk, old)
    lose()
    recovery(old, sdk, taken)
