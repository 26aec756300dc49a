use super::*;

#[test]
fn every_part_survives_the_wire() {
    let error = Error::new(Code::Refused, "SANDBOX_PRESENT", "it is there")
        .next_step("salvor connect a")
        .with("gateway", "gateways/g")
        .retry_after(Duration::from_millis(1500))
        .violation(Violation {
            guard: "sandbox_is_absent".into(),
            subject: "gateways/g/workspaces/w/sandboxes/a".into(),
            description: "SANDBOX_PRESENT: it is there".into(),
        });
    let status = Status::from(error);
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    let back = received(&status);
    assert_eq!(back.reason.as_deref(), Some("SANDBOX_PRESENT"));
    assert_eq!(back.next_step.as_deref(), Some("salvor connect a"));
    assert_eq!(back.metadata["gateway"], "gateways/g");
    assert_eq!(back.retry, Some(Duration::from_millis(1500)));
    assert_eq!(back.violations[0].guard, "sandbox_is_absent");
}

#[test]
fn a_malformed_field_is_named() {
    let status = Status::from(Error::invalid("sandbox.name", "must not be empty"));
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let details = status.get_error_details();
    let request = details.bad_request().unwrap();
    assert_eq!(request.field_violations[0].field, "sandbox.name");
}

#[test]
fn a_foreign_status_has_no_reason() {
    let back = received(&Status::unavailable("connection refused"));
    assert_eq!(back.reason, None);
    assert_eq!(back.message, "connection refused");
}

#[test]
fn a_long_message_is_cut_at_a_character() {
    let status = Status::from(Error::internal("ü".repeat(MAX_MESSAGE)));
    assert!(status.message().len() <= MAX_MESSAGE + '…'.len_utf8());
    assert!(status.message().ends_with('…'));
}
