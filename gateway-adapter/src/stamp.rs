//! The stamp: how a sandbox proves that a recovery of salvor's made it.
//!
//! Invariant: what is written by [`apply`] is read by [`read`], and a half stamp is none.
//! Deliberately absent: deciding whose stamp is welcome.

use std::collections::BTreeMap;

use salvor_proto::gateway::v1::Stamp;

/// Keys under this prefix are salvor's own.
pub(crate) const PREFIX: &str = "salvor.dev/";
/// Which recovery created it.
pub(crate) const RECOVERY: &str = "salvor.dev/recovery";
/// By which plan.
pub(crate) const PLAN_DIGEST: &str = "salvor.dev/plan-digest";

/// The annotations of a create: the recorded ones and the stamp. Recorded keys under [`PREFIX`]
/// belong to an earlier create and are left out.
pub(crate) fn apply(
    recorded: &BTreeMap<String, String>,
    stamp: &Stamp,
) -> BTreeMap<String, String> {
    let mut annotations = strip(recorded);
    annotations.insert(RECOVERY.to_owned(), stamp.recovery.clone());
    annotations.insert(PLAN_DIGEST.to_owned(), stamp.plan_digest.clone());
    annotations
}

/// The stamp in a sandbox's annotations. Both keys must be there and say something.
pub(crate) fn read(annotations: &BTreeMap<String, String>) -> Option<Stamp> {
    let value = |key| annotations.get(key).filter(|value| !value.is_empty()).cloned();
    Some(Stamp { recovery: value(RECOVERY)?, plan_digest: value(PLAN_DIGEST)? })
}

/// The annotations without salvor's own.
pub(crate) fn strip(annotations: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let foreign = annotations.iter().filter(|(key, _)| !key.starts_with(PREFIX));
    foreign.map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_stamp_replaces_an_old_one_and_keeps_the_rest() {
        let recorded = BTreeMap::from([
            ("team".to_owned(), "lab".to_owned()),
            (RECOVERY.to_owned(), "recoveries/old".to_owned()),
            ("salvor.dev/other".to_owned(), "old".to_owned()),
        ]);
        let stamp = Stamp { recovery: "recoveries/new".into(), plan_digest: "d1".into() };
        let annotations = apply(&recorded, &stamp);
        assert_eq!(read(&annotations), Some(stamp));
        assert_eq!(annotations.len(), 3);
        assert_eq!(strip(&annotations), BTreeMap::from([("team".into(), "lab".into())]));
    }

    #[test]
    fn half_a_stamp_is_none() {
        for (recovery, digest) in [(Some("r"), None), (None, Some("d")), (Some(""), Some("d"))] {
            let mut annotations = BTreeMap::new();
            annotations.extend(recovery.map(|v| (RECOVERY.to_owned(), v.to_owned())));
            annotations.extend(digest.map(|v| (PLAN_DIGEST.to_owned(), v.to_owned())));
            assert_eq!(read(&annotations), None);
        }
    }
}
