"""Creates, lists, gets, executes in, stops, starts and deletes a sandbox with the official SDK.

Usage: run.py ENDPOINT DIALECT, DIALECT being 0.0 or 0.1. Exits non-zero on the first difference.
"""

import sys

import grpc
from openshell import SandboxClient

ENDPOINT, DIALECT = sys.argv[1], sys.argv[2]
NAME = "sdk-check"
WORKSPACE = "default"


def check(what, condition, seen=None):
    if not condition:
        sys.exit(f"FAILED {what}: {seen!r}")
    print(f"ok  {what}")


def main():
    with SandboxClient(ENDPOINT) as client:
        by_id = DIALECT == "0.0"
        check("health reports a version of the dialect", client.health().version.startswith(DIALECT))

        created = client.create(workspace=WORKSPACE, name=NAME, labels={"team": "salvor"})
        check("create answers before the sandbox is ready", created.status.phase == 1, created)
        ready = client.wait_ready(NAME, workspace=WORKSPACE, timeout_seconds=30)
        check("the sandbox becomes ready with the same id", ready.id == created.id, ready)

        listed = client.list(workspace=WORKSPACE)
        refs = list(listed) if by_id else listed.all()
        check("list shows it", [ref.name for ref in refs] == [NAME], refs)
        got = client.get(NAME, workspace=WORKSPACE)
        check("get shows its labels", dict(got.labels) == {"team": "salvor"}, got)

        def execute(command, **options):
            if by_id:
                return client.exec(created.id, command, **options)
            return client.exec(NAME, command, workspace=WORKSPACE, **options)

        result = execute(["sh", "-c", "echo out; echo err >&2; exit 3"])
        check("exec reports both streams and the code",
              (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 3), result)
        body = b"0123456789" * 50_000
        result = execute(["cat"], stdin=body)
        check("exec with stdin returns it whole", result.stdout.encode() == body, len(result.stdout))
        result = execute(["sh", "-c", "echo $MARK; pwd"], env={"MARK": "m"}, workdir="/sandbox")
        check("exec has environment and workdir", result.stdout.startswith("m\n/"), result)
        execute(["sh", "-c", "echo kept > marker"])

        client.stop(NAME, workspace=WORKSPACE)
        client.wait_stopped(NAME, workspace=WORKSPACE, timeout_seconds=30)
        client.start(NAME, workspace=WORKSPACE)
        client.wait_ready(NAME, workspace=WORKSPACE, timeout_seconds=30)
        check("files survive stop and start", execute(["cat", "marker"]).stdout == "kept\n")

        deleted = client.delete(NAME, workspace=WORKSPACE)
        check("delete says that it deleted", bool(deleted), deleted)
        client.wait_deleted(NAME, workspace=WORKSPACE, timeout_seconds=30)
        try:
            client.get(NAME, workspace=WORKSPACE)
        except grpc.RpcError as error:
            check("get says NOT_FOUND", error.code() == grpc.StatusCode.NOT_FOUND, error)
            check("in the sandbox's words", error.details() == "sandbox not found", error)
        else:
            sys.exit("FAILED the deleted sandbox is still there")


main()
