//! The attributes that salvor's own spans carry. RPC spans carry the OpenTelemetry names instead.
//!
//! Invariant: every name starts with `salvor.` and stands in [`ALL`] with its meaning, which
//! `docs/telemetry.md` repeats.

macro_rules! attributes {
    ($($constant:ident = $name:literal, $meaning:literal;)+) => {
        $(#[doc = $meaning] pub const $constant: &str = $name;)+

        /// Every attribute: its name and what it means.
        pub const ALL: &[(&str, &str)] = &[$(($constant, $meaning)),+];
    };
}

attributes! {
    DECISION_ID = "salvor.decision.id",
        "Id of the decision, under which the journal keeps it with its evidence.";
    EVIDENCE_AGE_MS = "salvor.evidence.age_ms",
        "Age of the oldest fact that the guard looked at, in milliseconds.";
    EVIDENCE_SOURCE = "salvor.evidence.source",
        "Where the facts that the guard looked at come from.";
    GATEWAY_NAME = "salvor.gateway.name", "Name of the gateway that is concerned.";
    GUARD_ID = "salvor.guard.id", "Id of the guard.";
    GUARD_PHASE = "salvor.guard.phase", "When the guard was evaluated, in the terms of its saga.";
    GUARD_REASON = "salvor.guard.reason", "Reason code of a refusal; absent if it allowed.";
    GUARD_RESULT = "salvor.guard.result", "Verdict of the guard: allow or refuse.";
    PERMIT_DECISION = "salvor.permit.decision",
        "Id of the decision whose permit the step used; absent if it needs none.";
    PLAN_DIGEST = "salvor.plan.digest", "Digest of the plan that is carried out.";
    RECOVERY_ID = "salvor.recovery.id", "Id of the recovery.";
    RECOVERY_SAGA = "salvor.recovery.saga", "Saga that the recovery runs.";
    SANDBOX_NAME = "salvor.sandbox.name", "Name of the sandbox that is concerned.";
    STEP_ATTEMPT = "salvor.step.attempt", "Attempt of the step, from 1.";
    STEP_COMPENSATES = "salvor.step.compensates", "Whether the step goes back instead of on.";
    STEP_NAME = "salvor.step.name", "Name of the step.";
    STEP_OUTCOME = "salvor.step.outcome",
        "Outcome of the step, one word of its saga, for example created, doubtful or ready.";
    WORKSPACE = "salvor.workspace", "Gateway workspace (a namespace of sandboxes) that is concerned.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::ALL;

    #[test]
    fn names_are_distinct_prefixed_and_explained() {
        let names: BTreeSet<_> = ALL.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), ALL.len());
        for (name, meaning) in ALL {
            assert!(name.starts_with("salvor.") && meaning.ends_with('.'), "{name}: {meaning}");
        }
    }
}
