//! The spans that arrived, and what must be true of them.

use std::collections::HashMap;

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use salvor_proto::recovery::v1::decision;
use salvor_runtime::telemetry::attr;
use salvor_testkit::otlp::{attribute, hex};

use crate::story::Told;

/// All spans, by id.
pub(crate) struct Received {
    spans: HashMap<String, Span>,
}

impl Received {
    pub(crate) fn new(spans: Vec<Span>) -> Self {
        let count = spans.len();
        let spans: HashMap<_, _> =
            spans.into_iter().map(|span| (hex(&span.span_id), span)).collect();
        assert_eq!(spans.len(), count, "each arrives once");
        Self { spans }
    }

    /// Every span of the recovery is of its trace, and nothing of the trace hangs in the air.
    pub(crate) fn one_trace(&self, told: &Told) {
        let of_it: Vec<_> = self.of(told).collect();
        assert!(of_it.len() > 3, "{told:?}");
        for span in of_it {
            assert_eq!(hex(&span.trace_id), told.trace_id, "{span:?}");
        }
        let roots: Vec<_> =
            self.trace(told).filter(|span| span.parent_span_id.is_empty()).collect();
        let [root] = roots[..] else { panic!("{roots:?}") };
        assert_eq!(root.name, "caller");
        for span in self.trace(told).filter(|span| !span.parent_span_id.is_empty()) {
            assert!(self.parent(span).is_some(), "its parent did not arrive: {span:?}");
        }
    }

    /// As many as are kept, and saying the same.
    pub(crate) fn decisions(&self, told: &Told) {
        let guards = self.of(told).filter(|span| span.name.starts_with("guard ")).count();
        assert_eq!(guards, told.decisions.len(), "{told:?}");
        assert!(guards > 3);
        for kept in &told.decisions {
            let span = &self.spans[&kept.span_id];
            assert_eq!(span.name, format!("guard {}", kept.guard));
            let says = |key| attribute(span, key).unwrap_or_default();
            let result = match kept.result() {
                decision::Result::Allow => "allow",
                decision::Result::Refuse => "refuse",
                decision::Result::Unspecified => panic!("{kept:?}"),
            };
            assert_eq!(says(attr::GUARD_RESULT), result, "{kept:?}");
            assert_eq!(says(attr::GUARD_REASON), kept.reason, "{kept:?}");
            assert_eq!(says(attr::GUARD_ID), kept.guard, "{kept:?}");
            assert_eq!(says(attr::GUARD_PHASE), kept.phase, "{kept:?}");
            assert_eq!(says(attr::DECISION_ID), kept.name, "{kept:?}");
            assert_eq!(says(attr::RECOVERY_ID), told.name, "{kept:?}");
            assert!(!says(attr::EVIDENCE_SOURCE).is_empty(), "{kept:?}");
            assert!(says(attr::EVIDENCE_AGE_MS).parse::<u64>().is_ok(), "{kept:?}");
            let failed = span.status.as_ref().is_some_and(|s| s.code() == StatusCode::Error);
            assert!(!failed, "a refusal is a normal result: {span:?}");
        }
    }

    /// One for each step, in the words of the recovery; those that had to wait apart.
    pub(crate) fn steps(&self, told: &Told) {
        let steps: Vec<_> = self.of(told).filter(|span| span.name.starts_with("step ")).collect();
        let mut received = Vec::new();
        for span in &steps {
            let says = |key| attribute(span, key).unwrap();
            assert_eq!(span.name, format!("step {}", says(attr::STEP_NAME)));
            assert_eq!(self.parent(span).map(|p| &*p.name), told.saga, "{span:?}");
            let attempt: i32 = says(attr::STEP_ATTEMPT).parse().unwrap();
            let outcome = says(attr::STEP_OUTCOME);
            if outcome != "parked" {
                received.push((says(attr::STEP_NAME), attempt, outcome));
            }
        }
        received.sort();
        let mut expected = told.steps.clone();
        expected.sort();
        assert_eq!(received, expected, "{}", told.name);
        let permitted = steps.iter().filter(|s| attribute(s, attr::PERMIT_DECISION).is_some());
        assert_eq!(permitted.count(), told.effects.len(), "a permit for each effect");
    }

    /// Each call that was served hangs below the same call as it was made.
    pub(crate) fn hops(&self, told: &Told) {
        let mut served: Vec<_> = Vec::new();
        for span in self.trace(told).filter(|span| span.kind() == SpanKind::Server) {
            let made = self.parent(span).unwrap();
            assert_eq!(made.kind(), SpanKind::Client, "{span:?} below {made:?}");
            let method = |span| attribute(span, "rpc.method").unwrap();
            assert_eq!(method(span), method(made));
            assert_eq!(method(span), span.name, "{span:?}");
            assert!(attribute(span, "rpc.response.status_code").is_some(), "{span:?}");
            served.push(span.name.clone());
        }
        for service in [
            "salvor.recovery.v1.RecoveryService/",
            "salvor.registry.v1.RegistryService/",
            "salvor.gateway.v1.GatewayAdapterService/",
        ] {
            assert!(served.iter().any(|name| name.starts_with(service)), "{service}: {served:?}");
        }
    }

    /// What the gateway was asked to change arrived with the context of the adapter's call, which is below the step.
    pub(crate) fn gateway_calls(&self, told: &Told) {
        for (method, traceparent) in &told.effects {
            let parts: Vec<_> = traceparent.split('-').collect();
            assert_eq!(parts[1], told.trace_id, "{method}");
            let call = &self.spans[parts[2]];
            assert_eq!(call.kind(), SpanKind::Client);
            assert!(call.name.ends_with(&format!("/{method}")), "{call:?}");
            let step = self.ancestors(call).find(|span| span.name.starts_with("step "));
            let step = step.unwrap();
            assert!(attribute(step, attr::PERMIT_DECISION).is_some(), "{step:?}");
        }
    }

    /// It ran under two spans, and the second is linked to where it was accepted.
    pub(crate) fn link(&self, told: &Told) {
        let saga = told.saga.unwrap();
        let (first, later): (Vec<_>, Vec<_>) =
            self.of(told).filter(|span| span.name == saga).partition(|span| span.links.is_empty());
        assert_eq!(first.len(), 1, "{first:?}");
        assert!(!later.is_empty());
        let accepted = self.parent(first[0]).unwrap();
        assert!(accepted.name.ends_with("/RecoverSandbox"), "{accepted:?}");
        for span in later {
            assert_eq!(span.links[0].span_id, accepted.span_id, "{span:?}");
            assert_eq!(span.links[0].trace_id, accepted.trace_id, "{span:?}");
        }
    }

    fn of<'a>(&'a self, told: &'a Told) -> impl Iterator<Item = &'a Span> {
        let says = |span: &Span| attribute(span, attr::RECOVERY_ID);
        self.spans.values().filter(move |span| says(span).as_deref() == Some(&*told.name))
    }

    fn trace<'a>(&'a self, told: &'a Told) -> impl Iterator<Item = &'a Span> {
        self.spans.values().filter(|span| hex(&span.trace_id) == told.trace_id)
    }

    fn parent(&self, span: &Span) -> Option<&Span> {
        self.spans.get(&hex(&span.parent_span_id))
    }

    fn ancestors<'a>(&'a self, span: &'a Span) -> impl Iterator<Item = &'a Span> {
        std::iter::successors(self.parent(span), |span| self.parent(span))
    }
}
