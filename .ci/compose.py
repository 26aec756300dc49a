"""Loses a sandbox in the containers of docker-compose.yml and recovers it, then reads the trace of that.

Usage: compose.py GRPCURL REGISTRY ADAPTER RECOVERY GATEWAY COMPOSE... (addresses as host:port, then the compose command)
"""

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "lib"))
from openshell import SandboxClient
from wire import ADAPTER, RECOVERY, REGISTRY, Wire, check, is_healthy, recover, until

GRPCURL, AT_REGISTRY, AT_ADAPTER, AT_RECOVERY, AT_GATEWAY = sys.argv[1:6]
COMPOSE = sys.argv[6:]
wire = Wire(GRPCURL, AT_REGISTRY, AT_ADAPTER, AT_RECOVERY)
LAB = "gateways/lab"
NAME = f"{LAB}/workspaces/default/sandboxes/agent"
SERVICES = {"salvor-registry", "salvor-gateway-adapter", "salvor-orchestrator"}


def compose(*arguments):
    done = subprocess.run([*COMPOSE, *arguments], capture_output=True, text=True, timeout=60)
    check(f"docker-compose {arguments[0]}", done.returncode == 0, done.stdout + done.stderr)
    return done.stdout


def lose():
    """Through the control port, which only the development gateway's own container reaches."""
    order = json.dumps({"do": "lose", "sandbox": "agent"})
    request = (f"POST /control HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
               f"Content-Length: {len(order)}\r\n\r\n{order}")
    script = 'exec 3<>/dev/tcp/127.0.0.1/7305; printf %s "$1" >&3; cat <&3'
    answer = compose("exec", "-T", "devgateway", "bash", "-c", script, "lose", request)
    check("the sandbox's container is removed behind the gateway's back", " 200 OK" in answer, answer)


def spans_of(trace):
    """The spans of one trace that the sink has written down."""
    container = subprocess.run([*COMPOSE, "ps", "-q", "tracing"], capture_output=True, text=True, timeout=60)
    log = subprocess.run(["docker", "logs", container.stdout.strip()], capture_output=True, text=True, timeout=60)
    lines = [line for line in log.stdout.splitlines() if line.startswith("{")]
    return [span for span in map(json.loads, lines) if span["trace_id"] == trace]


def traced(recovery):
    """One trace, spans of all three services, and one guard span per kept decision."""
    kept = wire.call(RECOVERY, "ListDecisions", {"parent": recovery["name"]})["decisions"]
    guards = sorted(decision["guard"] for decision in kept)

    def guard_spans(spans):
        return sorted(s["attributes"].get("salvor.guard.id", "") for s in spans if s["name"].startswith("guard "))

    def arrived():
        spans = spans_of(recovery["traceId"])
        whole = {span["service"] for span in spans} >= SERVICES and guard_spans(spans) == guards
        return spans if whole else None

    spans = until("the spans of all three services arrive", arrived, 30)
    check(f"{len(spans)} spans of one trace arrived from {', '.join(sorted(SERVICES))}", True)
    check(f"decisions stored = guard spans received ({len(guards)})", guard_spans(spans) == guards)
    known = {span["span_id"] for span in spans}
    whole = [s for s in spans if s["service"] != "salvor-orchestrator" and s["parent"] in known]
    check("spans of the other services hang below the orchestrator's", whole, spans)
    check("every step of the recovery is a span", any(s["name"].startswith("step create") for s in spans),
          sorted({span["name"] for span in spans}))


def main():
    for service, address in wire.addresses.items():
        until(f"{service} answers", lambda: wire.raw(address, "list").returncode == 0, 40)
    endpoint = {"name": LAB, "endpoint": "http://devgateway:7304"}
    wire.call(REGISTRY, "RegisterGateway", {"gateway": endpoint})
    gateway = until("the gateway is healthy", lambda: is_healthy(wire, LAB), 30)
    check("the adapter advertises an address that others can call",
          gateway["heartbeat"]["adapterEndpoint"] == "http://gateway-adapter:7303", gateway)
    with SandboxClient(AT_GATEWAY) as sdk:
        made = sdk.create(workspace="default", name="agent", labels={"team": "blue"})
        sdk.wait_ready("agent", workspace="default", timeout_seconds=30)
        wire.call(RECOVERY, "AdoptSandbox", {"name": NAME})
        print("ok  created with the official SDK, and adopted")
        lose()
        until("its loss is proven", lambda: wire.call(RECOVERY, "GetStatus", {"name": NAME})["status"]["verdict"]
              == "VERDICT_LOST", 60)
        print("ok  GetStatus says LOST")
        done = recover(wire, NAME)
        check("the recovery SUCCEEDED", done["state"] == "STATE_SUCCEEDED", done)
        ref = sdk.get("agent", workspace="default")
        check("the sandbox is READY under a new id, with its labels",
              ref.phase == 2 and ref.id == done["result"]["liveId"] != made.id and dict(ref.labels) == {"team": "blue"},
              ref)
        ran = sdk.exec(ref.id, ["sh", "-c", "echo $((40 + 2))"])
        check("and it runs commands", ran.stdout == "42\n", ran)
    traced(done)


main()
