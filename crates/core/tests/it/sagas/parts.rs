//! Results: the whole is the worst of its parts, and nothing that is owed gets lost on the way.

use salvor_core::{
    fact::Why,
    saga::{
        Outcome, Part, Parts, Pending,
        proofs::{Proof, ProofEvent, Proofs},
    },
};

fn all() -> Vec<(Part, Outcome)> {
    vec![
        (Part::Proven, Outcome::Succeeded),
        (Part::Kept, Outcome::Succeeded),
        (Part::NotApplicable, Outcome::Succeeded),
        (Part::Gone, Outcome::Succeeded),
        (Part::Lost, Outcome::Degraded),
        (Part::Pending(vec![Pending::SpecDiffers]), Outcome::Degraded),
        (Part::Pending(vec![Pending::NotReady(3)]), Outcome::Degraded),
        (Part::Unproven(Why::Unavailable), Outcome::Unproven),
    ]
}

fn proofs(readiness: &Part) -> Proofs {
    let established = [
        ProofEvent::Established(Proof::Policy, Part::Proven),
        ProofEvent::Established(Proof::Posture, Part::NotApplicable),
        ProofEvent::Established(Proof::Readiness, readiness.clone()),
    ];
    let mut proofs = Proofs::default();
    for event in &established {
        proofs = proofs.apply(event).expect("in their order");
    }
    proofs
}

#[test]
fn the_config_part_is_the_worse_of_spec_and_readiness() {
    for (spec, of_spec) in all() {
        for (readiness, of_readiness) in all() {
            let config = proofs(&readiness).config(spec.clone());
            assert_eq!(config.severity(), of_spec.max(of_readiness), "{spec:?} {readiness:?}");
            let Part::Pending(owed) = &config else { continue };
            for part in [&spec, &readiness] {
                let Part::Pending(items) = part else { continue };
                assert!(items.iter().all(|item| owed.contains(item)), "{spec:?} {readiness:?}");
            }
        }
    }
}

#[test]
fn the_whole_is_the_worst_of_the_five() {
    let fine = || Parts {
        live_id: None,
        data: Part::Proven,
        config: Part::Proven,
        policy: Part::Proven,
        providers: Part::Proven,
        posture: Part::Proven,
    };
    let set: [fn(&mut Parts, Part); 5] = [
        |parts, to| parts.data = to,
        |parts, to| parts.config = to,
        |parts, to| parts.policy = to,
        |parts, to| parts.providers = to,
        |parts, to| parts.posture = to,
    ];
    for one in set {
        for other in set {
            for (part, of_one) in all() {
                let mut parts = fine();
                one(&mut parts, part);
                assert_eq!(parts.outcome(), of_one);
                let unproven = Part::Unproven(Why::Internal);
                other(&mut parts, unproven);
                assert_eq!(parts.outcome(), Outcome::Unproven);
            }
        }
    }
}

#[test]
fn proofs_come_in_their_order_and_once() {
    let order = [Proof::Policy, Proof::Posture, Proof::Readiness];
    let mut proofs = Proofs::default();
    for due in order {
        for proof in order {
            let intended = proofs.clone().apply(&ProofEvent::Intended(proof));
            assert_eq!(intended.is_some(), proof == due);
            assert!(intended.is_none_or(|after| after == proofs), "an intent proves nothing");
        }
        proofs = proofs.apply(&ProofEvent::Established(due, Part::Kept)).expect("it is due");
    }
    assert_eq!(proofs.next(), None);
    for proof in order {
        assert_eq!(proofs.clone().apply(&ProofEvent::Intended(proof)), None);
    }
}
