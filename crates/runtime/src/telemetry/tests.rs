use tracing::info_span;

use super::*;

#[test]
fn a_resumed_span_is_linked_to_the_first_and_not_its_child() {
    let exporter = test_exporter();
    let first = info_span!("first").in_scope(current_traceparent).unwrap();
    let resumed = info_span!(parent: None, "resumed");
    assert!(link(&resumed, &first));
    drop(resumed);
    let (first, resumed) = (&exporter.named("first")[0], &exporter.named("resumed")[0]);
    assert!(resumed.is_linked_to(first) && resumed.is_root());
    assert_ne!(resumed.trace_id(), first.trace_id());
}

#[test]
fn a_span_from_a_traceparent_goes_on_with_its_trace() {
    let exporter = test_exporter();
    let first = info_span!("first").in_scope(current_traceparent).unwrap();
    let child = span_from_traceparent(info_span!(parent: None, "child"), &first);
    assert!(first.contains(&child.in_scope(current_trace_id).unwrap()));
    drop(child);
    exporter.assert_has_parent("child", "first");
    assert_eq!(exporter.trace(&exporter.named("first")[0].trace_id()).len(), 2);
}

#[test]
fn malformed_contexts_are_told_and_change_nothing() {
    let exporter = test_exporter();
    for text in ["", "00-zz-zz-01", "\n", "00-00000000000000000000000000000000-b7ad6b7169203331-01"]
    {
        let span = info_span!("alone");
        assert!(!link(&span, text) && !set_parent(&span, text), "{text:?}");
        assert!(span_context_from_traceparent(text).is_none());
    }
    assert!(exporter.named("alone").iter().all(|span| span.is_root() && span.0.links.is_empty()));
}

#[test]
fn without_a_subscriber_there_is_no_trace() {
    assert_eq!(current_trace_id(), None);
    assert_eq!(current_traceparent(), None);
}

#[test]
fn attributes_are_found_by_name_and_value() {
    let exporter = test_exporter();
    info_span!("guard", salvor.guard.result = "allow", salvor.step.attempt = 2);
    info_span!("guard", salvor.guard.result = "refuse");
    assert_eq!(exporter.with("guard", attr::GUARD_RESULT, "refuse").len(), 1);
    assert_eq!(exporter.with("guard", attr::STEP_ATTEMPT, "2").len(), 1);
    assert_eq!(exporter.named("guard").len(), 2);
    exporter.clear();
    assert!(exporter.spans().is_empty());
}

#[test]
fn unusable_settings_are_refused_with_an_example() {
    let mut config = Config::new("salvor", "0");
    config.filter = "salvor=loud".into();
    assert!(init(&config).unwrap_err().to_string().contains("info"));
    config.filter = "info".into();
    for endpoint in ["", "nonsense", "https://collector:4317"] {
        config.otlp_endpoint = Some(endpoint.into());
        let error = init(&config).unwrap_err().to_string();
        assert!(error.contains("http://127.0.0.1:4317"), "{error}");
    }
}

#[test]
fn the_resource_names_service_version_and_instance() {
    let mut config = Config::new("salvor-registry", "1.2.3");
    config.instance_id = Some("one".into());
    let resource = config.resource();
    for (key, value) in [
        ("service.name", "salvor-registry"),
        ("service.version", "1.2.3"),
        ("service.instance.id", "one"),
    ] {
        assert_eq!(resource.get(&key.into()).unwrap().to_string(), value);
    }
}
