use super::*;

fn sandbox(name: &str) -> pb::SandboxRef {
    pb::SandboxRef {
        gateway: "gateways/lab".into(),
        workspace: "default".into(),
        sandbox: name.into(),
    }
}

fn permit(fence_token: i64) -> pb::Permit {
    pb::Permit {
        recovery: "recoveries/1".into(),
        plan_digest: "d".into(),
        decision_id: "x".into(),
        fence_token,
        effect: "delete".into(),
        sandbox: Some(sandbox("coder")),
    }
}

fn target(name: &str) -> RecordName {
    reference("sandbox", Some(&sandbox(name))).unwrap()
}

fn checked(fence_token: i64) -> Permit {
    Permit::check(Some(permit(fence_token)), &target("coder"), Verb::Delete).unwrap()
}

#[test]
fn a_permit_for_something_else_is_refused() {
    let other_effect = Permit::check(Some(permit(1)), &target("coder"), Verb::Stop).unwrap_err();
    let other_sandbox =
        Permit::check(Some(permit(1)), &target("coder2"), Verb::Delete).unwrap_err();
    for error in [other_effect, other_sandbox] {
        assert_eq!(error.code(), Code::Refused, "{error}");
        assert_eq!(error.reason(), "PERMIT_MISMATCH");
    }
}

#[test]
fn an_incomplete_permit_is_malformed() {
    let broken: [fn(&mut pb::Permit); 6] = [
        |permit| permit.recovery.clear(),
        |permit| permit.plan_digest.clear(),
        |permit| permit.decision_id.clear(),
        |permit| permit.fence_token = 0,
        |permit| permit.sandbox = None,
        |permit| permit.sandbox.as_mut().unwrap().gateway = "lab".into(),
    ];
    for breaking in broken {
        let mut permit = permit(1);
        breaking(&mut permit);
        let error = Permit::check(Some(permit), &target("coder"), Verb::Delete).unwrap_err();
        assert_eq!(error.code(), Code::Invalid, "{error}");
    }
    let error = Permit::check(None, &target("coder"), Verb::Delete).unwrap_err();
    assert_eq!(error.code(), Code::Invalid);
}

#[tokio::test]
async fn an_older_token_is_fenced_off_and_both_numbers_are_named() {
    let authority = Authority::over("gateways/lab");
    let slow = checked(7).clear(&authority).await.unwrap();
    drop(checked(7).clear(&authority).await.unwrap());
    slow.still_allowed().unwrap();
    drop(checked(9).clear(&authority).await.unwrap());
    let late = checked(8).clear(&authority).await.unwrap_err();
    for error in [slow.still_allowed().unwrap_err(), late] {
        assert_eq!((error.code(), error.reason()), (Code::Conflict, "FENCED"));
        assert!(error.message().contains(" 9"), "{error}");
    }
}

/// Snapshots of a gateway that is gone can be deleted; nothing else can be done to what is not served here.
#[tokio::test]
async fn what_touches_no_gateway_needs_none() {
    let authority = Authority::over("gateways/other");
    authority.serving.not_held("gateways/lab", Error::internal("not ours"));
    let asked = pb::Permit { effect: "delete_snapshot".into(), ..permit(7) };
    let delete = Permit::check(Some(asked), &target("coder"), Verb::DeleteSnapshot).unwrap();
    delete.clear(&authority).await.unwrap().still_allowed().unwrap();
    assert!(checked(7).clear(&authority).await.is_err());
}

#[test]
fn a_request_id_must_be_a_uuid() {
    assert!(uuid("request_id", "again").is_err());
    let id = "7D444840-9DC0-11D1-B245-5FFDCE74FAD2";
    assert_eq!(uuid("request_id", id).unwrap(), id.to_lowercase());
}
