//! What scenarios share.

use std::collections::BTreeMap;

use salvor_devgateway::user::Seed;
use salvor_proto::recovery::v1 as pb;

/// A sandbox with something of everything that a record holds.
pub(crate) fn seed() -> Seed {
    Seed {
        image: "registry.test/agent:1".into(),
        environment: BTreeMap::from([("AGENT_TOKEN".into(), "s3cret-value".into())]),
        providers: Vec::new(),
        rules: Some(BTreeMap::from([
            ("pypi".into(), vec!["pypi.test".into()]),
            ("custom-git".into(), vec!["git.test".into()]),
        ])),
        labels: BTreeMap::from([("team".into(), "red".into())]),
        annotations: BTreeMap::from([("note".into(), "kept as it is".into())]),
    }
}

/// The stable reason of an error.
pub(crate) fn reason(status: &tonic::Status) -> String {
    salvor_proto::error::received(status).reason.unwrap_or_default()
}

pub(crate) const REBUILD: pb::RecoveryPath = pb::RecoveryPath::Rebuild;
pub(crate) const AUTO: pb::RecoveryPath = pb::RecoveryPath::Auto;
