//! Asking for things in the middle of trouble. Whatever the answer is, what must be true is checked at the end.

use std::time::Duration;

use prost_types::FieldMask;
use salvor_proto::recovery::v1 as pb;
use salvor_proto::registry::v1::{AutomaticRecovery, UpdateSandboxRequest};
use salvor_proto::time::duration;
use salvor_runtime::TracedChannel;
use tonic::{Code, Status};

use super::{Client, record_name};
use crate::script::{Ask, What};

/// How often a request is sent that got no answer.
const ATTEMPTS: usize = 4;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(700);
/// How long evidence may take to settle.
const SETTLE: Duration = Duration::from_secs(3);

type Recovery = pb::recovery_service_client::RecoveryServiceClient<TracedChannel>;

impl Client {
    /// Asks once, or for requests that name themselves until there is an answer.
    pub(super) async fn ask(&self, ask: Ask) {
        let name = record_name(&ask.target);
        let recovery = self.recovery[ask.of].clone();
        // A refusal is as good as a yes here.
        let _ = match ask.what {
            What::Recover => recover(recovery, name).await,
            What::Destroy => destroy(recovery, name).await,
            What::Cancel => cancel(recovery, name).await,
            What::Retry => retry(recovery, name).await,
            What::Edit => self.edit(&name).await,
            What::Look => look(recovery, name).await,
        };
    }

    /// Changes what automatic recovery may do, as another client of the registry would.
    async fn edit(&self, name: &str) -> Result<(), Status> {
        let Some(mut record) = self.record(name).await else { return Ok(()) };
        let now = match record.automatic_recovery() {
            AutomaticRecovery::Everything => AutomaticRecovery::Nothing,
            _ => AutomaticRecovery::Everything,
        };
        record.set_automatic_recovery(now);
        let request = UpdateSandboxRequest {
            sandbox: Some(record),
            update_mask: Some(FieldMask { paths: vec!["automatic_recovery".to_owned()] }),
            ..Default::default()
        };
        self.registry.clone().update_sandbox(request).await.map(drop)
    }
}

async fn recover(recovery: Recovery, name: String) -> Result<(), Status> {
    let request = pb::RecoverSandboxRequest {
        name,
        path: pb::RecoveryPath::Auto.into(),
        request_id: fresh_id(),
        settle_timeout: Some(duration(SETTLE)),
        ..Default::default()
    };
    again(|| async { recovery.clone().recover_sandbox(request.clone()).await.map(drop) }).await
}

async fn destroy(recovery: Recovery, name: String) -> Result<(), Status> {
    let plan = pb::PlanRecoveryRequest { name: name.clone(), destroy: true, ..Default::default() };
    let plan = recovery.clone().plan_recovery(plan).await?.into_inner().plan.unwrap_or_default();
    let request = pb::DestroySandboxRequest {
        name,
        request_id: fresh_id(),
        accept_data_loss: plan.digest,
        settle_timeout: Some(duration(SETTLE)),
        ..Default::default()
    };
    again(|| async { recovery.clone().destroy_sandbox(request.clone()).await.map(drop) }).await
}

async fn cancel(mut recovery: Recovery, sandbox: String) -> Result<(), Status> {
    let Some(name) = newest(&recovery, sandbox).await? else { return Ok(()) };
    recovery.cancel_recovery(pb::CancelRecoveryRequest { name }).await.map(drop)
}

async fn retry(mut recovery: Recovery, sandbox: String) -> Result<(), Status> {
    let Some(name) = newest(&recovery, sandbox).await? else { return Ok(()) };
    recovery.retry_recovery(pb::RetryRecoveryRequest { name }).await.map(drop)
}

async fn look(mut recovery: Recovery, name: String) -> Result<(), Status> {
    recovery.get_status(pb::GetStatusRequest { name: name.clone() }).await?;
    recovery.get_verdict(pb::GetVerdictRequest { name: name.clone() }).await?;
    recovery.plan_recovery(pb::PlanRecoveryRequest { name, ..Default::default() }).await.map(drop)
}

async fn newest(recovery: &Recovery, sandbox: String) -> Result<Option<String>, Status> {
    let request = pb::ListRecoveriesRequest { sandbox, page_size: 1, ..Default::default() };
    let listed = recovery.clone().list_recoveries(request).await?.into_inner().recoveries;
    Ok(listed.into_iter().next().map(|recovery| recovery.name))
}

/// Sends a request that names itself until it is answered.
async fn again<F>(mut send: impl FnMut() -> F) -> Result<(), Status>
where
    F: Future<Output = Result<(), Status>>,
{
    for _ in 1..ATTEMPTS {
        match send().await {
            Err(status) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) => {
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
    send().await
}

fn fresh_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
