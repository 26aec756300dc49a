//! What is seen before a recovery is retired: the record, its gateway, and everything that it can have made there.

use salvor_core::{
    Fact, SagaKind,
    name::RecordName,
    retirement::{Look, SeenRecord},
};
use salvor_proto::{Error, convert, error::Code, registry::v1 as registry};
use salvor_runtime::database::at_once;

use crate::{
    engine::Engine,
    journal::{Found, RecoveryFilter},
    ports::Observation,
};

/// So many open recoveries of one record are looked at.
const OTHERS: u32 = 20;

impl Engine {
    /// Looks once. Reads only.
    ///
    /// # Errors
    /// The registry cannot be asked. Everything else is evidence, unknown facts included.
    pub(super) async fn look_at(&self, found: &Found) -> Result<Look, Error> {
        let world = self.world();
        let record = match world.registry.sandbox(&found.target).await {
            Ok(record) => Some(seen(&record)?),
            Err(error) if error.code() == Code::NotFound => None,
            Err(error) => return Err(error),
        };
        let record = Fact::known(record, world.now());
        let adapter = world.adapter(&found.target).await?.1;
        let observe = async |name: &RecordName| match &adapter {
            Ok(adapter) => adapter.observe(name, false).await,
            Err((why, detail)) => Observation::none(*why, detail),
        };
        let Observation { gateway, live, .. } = observe(&found.target).await;
        let copy = match copy(found) {
            Some(name) => {
                let live = observe(&name).await.live;
                Some((name, live))
            }
            None => None,
        };
        Ok(Look { now: world.now(), record, gateway, live, copy })
    }

    /// Whether the mark on the record may be another open recovery's, which then takes it off itself.
    pub(super) async fn is_marked_by_another(&self, found: &Found) -> Result<bool, Error> {
        let filter = RecoveryFilter {
            sandbox: Some(found.target.clone()),
            open_only: true,
            before: None,
            limit: OTHERS,
        };
        let open = at_once(self.journal().list_found(&filter)).await?;
        let marks = |other: &Found| match &other.header {
            Ok(header) => matches!(
                header.saga(),
                SagaKind::StaleRecovery | SagaKind::Revive | SagaKind::Rebuild | SagaKind::Destroy
            ),
            Err(_) => true,
        };
        Ok(open.iter().any(|other| other.name != found.name && marks(other)))
    }
}

fn seen(record: &registry::Sandbox) -> Result<SeenRecord, Error> {
    let record = convert::record(record)?;
    Ok(SeenRecord {
        uid: record.uid,
        etag: record.etag,
        state: record.state,
        live_id: record.live_id,
        identity: record.identity,
    })
}

/// The sandbox that it was to make besides its target.
fn copy(found: &Found) -> Option<RecordName> {
    let sandbox = match &found.header {
        Ok(header) => header.plan.inputs.asked.copy.as_ref()?.sandbox.clone(),
        Err(illegible) => illegible.copy.as_ref()?.parse().ok()?,
    };
    Some(RecordName { sandbox, ..found.target.clone() })
}
