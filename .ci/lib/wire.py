"""Calls salvor with grpcurl, as a user without a generated client would, and checks the answers."""

import json
import subprocess
import sys
import time

REGISTRY = "salvor.registry.v1.RegistryService"
ADAPTER = "salvor.gateway.v1.GatewayAdapterService"
RECOVERY = "salvor.recovery.v1.RecoveryService"
CODES = {3: "INVALID_ARGUMENT", 5: "NOT_FOUND", 9: "FAILED_PRECONDITION", 10: "ABORTED", 14: "UNAVAILABLE"}


class Refused(Exception):
    """A call that was answered with an error."""

    def __init__(self, status):
        super().__init__(json.dumps(status, indent=2))
        self.code = CODES.get(status["code"], status["code"])
        self.message = status["message"]
        details = status.get("details", [])
        self.info = next((d for d in details if d["@type"].endswith("google.rpc.ErrorInfo")), {})
        self.reason = self.info.get("reason")
        self.violations = [v for d in details for v in d.get("violations", [])]


class Wire:
    """grpcurl, and the addresses of the services."""

    def __init__(self, grpcurl, registry, adapter, recovery):
        self.grpcurl = grpcurl
        self.addresses = {REGISTRY: registry, ADAPTER: adapter, RECOVERY: recovery}

    def raw(self, *arguments):
        """Runs grpcurl; its output, and its exit code."""
        command = [self.grpcurl, "-plaintext", "-max-time", "60", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90)
        return done

    def call(self, service, method, body):
        """The answer of one call, or `Refused`."""
        done = self.raw("-format-error", "-d", json.dumps(body), self.addresses[service], f"{service}/{method}")
        if done.returncode == 0:
            return json.loads(done.stdout)
        try:
            status = json.loads(done.stderr)
        except ValueError:
            fail(f"{service}/{method}: grpcurl says {done.stderr.strip()!r}")
        raise Refused(status)

    def refused(self, service, method, body):
        """The error of a call that must not be answered otherwise."""
        try:
            answer = self.call(service, method, body)
        except Refused as error:
            return error
        fail(f"{service}/{method} was answered instead of refused: {answer}")


def fail(message):
    sys.exit(f"FAILED {message}")


def check(what, condition, seen=None):
    """Prints that `what` holds, or ends everything."""
    if not condition:
        if not isinstance(seen, str):
            seen = json.dumps(seen, indent=2, default=str)
        fail(f"{what}\nseen: {seen}")
    print(f"ok  {what}", flush=True)


def until(what, look, seconds):
    """Looks every 100 ms until `look` answers something true, and answers it."""
    end = time.monotonic() + seconds
    seen = None
    while time.monotonic() < end:
        try:
            seen = look()
            if seen:
                return seen
        except Refused as error:
            seen = error
        time.sleep(0.1)
    fail(f"{what}: not within {seconds} s; last seen: {seen}")


def is_healthy(wire, gateway):
    """The gateway, once its adapter has said that it answers as itself."""
    found = wire.call(REGISTRY, "GetGateway", {"name": gateway})["gateway"]
    return found if found.get("heartbeat", {}).get("healthy") else None


def recover(wire, name):
    """Recovers a sandbox and waits for it; the recovery as it ended."""
    started = wire.call(RECOVERY, "RecoverSandbox", {"name": name, "settle_timeout": "30s"})
    recovery = started["recovery"]["name"]
    return wire.call(RECOVERY, "WaitRecovery", {"name": recovery, "timeout": "50s"})["recovery"]
