//! Leave to write, looked at when there is no queue any more.

use salvor_proto::gateway::v1 as pb;

use super::*;
use crate::authority::Authority;
use crate::permit::{Permit, Standing, Verb, reference};

async fn leave(authority: &Arc<Authority>, fence_token: i64) -> Arc<Standing> {
    let sandbox = pb::SandboxRef {
        gateway: "gateways/lab".into(),
        workspace: "default".into(),
        sandbox: "coder".into(),
    };
    let target = reference("sandbox", Some(&sandbox)).unwrap();
    let permit = pb::Permit {
        recovery: "recoveries/1".into(),
        plan_digest: "d".into(),
        decision_id: "x".into(),
        fence_token,
        effect: "restore".into(),
        sandbox: Some(sandbox),
    };
    let permit = Permit::check(Some(permit), &target, Verb::Restore).unwrap();
    Arc::new(permit.stand(authority).await.unwrap())
}

fn execs(bench: &Bench) -> usize {
    let calls = bench.running.control().calls();
    calls.iter().filter(|call| call.method.starts_with("ExecSandbox")).count()
}

#[tokio::test]
async fn nothing_is_written_without_leave_or_in_another_incarnation() {
    for dialect in BOTH {
        let mut bench = Bench::start(dialect).await;
        let authority = Arc::new(Authority::over("gateways/lab"));
        bench.channel.leave = Some(leave(&authority, 7).await);
        assert_eq!(bench.unpack(packed(&[file(b"a", b"a")])).await.unwrap(), []);
        leave(&authority, 8).await;
        let before = execs(&bench);
        let refused = bench.unpack(packed(&[file(b"a", b"b")])).await.unwrap_err();
        assert!(refused.to_string().contains(" 8"), "{refused}");
        bench.channel.leave = Some(leave(&authority, 8).await);
        bench.running.control().replace("coder").await.unwrap();
        let refused = bench.unpack(packed(&[file(b"a", b"b")])).await.unwrap_err();
        assert!(refused.to_string().contains("nothing was sent"), "{refused}");
        assert_eq!(execs(&bench), before);
    }
}
