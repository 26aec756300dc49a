use super::*;

fn field(error: &Error) -> String {
    error.message().split(':').next().unwrap_or_default().to_owned()
}

#[test]
fn every_complaint_names_its_field() {
    let name = "gateways/g/workspaces/w/sandboxes/s";
    let refused = |change: fn(&mut pb::RecoverSandboxRequest)| {
        let mut request = pb::RecoverSandboxRequest { name: name.into(), ..Default::default() };
        change(&mut request);
        recover(request).map(|_| ()).unwrap_err()
    };
    let cases = [
        (refused(|r| r.name = "s".into()), "name"),
        (refused(|r| r.path = 99), "path"),
        (refused(|r| r.request_id = "7".into()), "request_id"),
        (refused(|r| r.plan_digest = "abc".into()), "plan_digest"),
        (
            refused(|r| r.settle_timeout = Some(prost_types::Duration { seconds: 61, nanos: 0 })),
            "settle_timeout",
        ),
        (
            refused(|r| r.settle_timeout = Some(prost_types::Duration { seconds: -1, nanos: 0 })),
            "settle_timeout",
        ),
        (recovery("recoveries/../x").unwrap_err(), "name"),
        (page_size(-1).unwrap_err(), "page_size"),
        (page_size(1001).unwrap_err(), "page_size"),
        (open_token("%%%").unwrap_err(), "page_token"),
        (
            list_decisions(&pb::ListDecisionsRequest { parent: "x".into(), ..Default::default() })
                .map(|_| ())
                .unwrap_err(),
            "parent",
        ),
    ];
    for (error, expected) in cases {
        assert_eq!(field(&error), expected, "{error}");
        assert_eq!(error.code(), salvor_proto::error::Code::Invalid);
    }
}

#[test]
fn tokens_survive_the_round_trip() {
    let token = seal_token("1763/recoveries/abc");
    assert_eq!(open_token(&token).unwrap().as_deref(), Some("1763/recoveries/abc"));
}
