//! The calls that tests make most, without the ceremony of requests.

use std::time::Duration;

use salvor_proto::{recovery::v1 as pb, registry::v1 as registry, time::duration};
use tokio::time::sleep;
use tonic::Status;

use super::Fleet;
use crate::wait::PATIENCE;

/// Between two looks at a recovery that is parked.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

impl Fleet {
    /// The full name of a sandbox in workspace `default`.
    pub fn name(gateway: &str, sandbox: &str) -> String {
        format!("gateways/{gateway}/workspaces/default/sandboxes/{sandbox}")
    }

    /// Captures a live sandbox into a record.
    ///
    /// # Errors
    /// As the service says.
    pub async fn adopt(&self, name: &str) -> Result<registry::Sandbox, Status> {
        self.adopt_with(pb::AdoptSandboxRequest { name: name.to_owned(), ..Default::default() })
            .await
    }

    /// Captures a live sandbox into a record.
    ///
    /// # Errors
    /// As the service says.
    pub async fn adopt_with(
        &self,
        request: pb::AdoptSandboxRequest,
    ) -> Result<registry::Sandbox, Status> {
        let answer = self.recovery.clone().adopt_sandbox(request).await?.into_inner();
        answer.sandbox.ok_or_else(|| Status::internal("no record"))
    }

    /// Reads a record; a tombstone too.
    ///
    /// # Errors
    /// As the service says.
    pub async fn record(&self, name: &str) -> Result<registry::Sandbox, Status> {
        let request = registry::GetSandboxRequest { name: name.to_owned(), show_deleted: true };
        let answer = self.registry.clone().get_sandbox(request).await?.into_inner();
        answer.sandbox.ok_or_else(|| Status::internal("no record"))
    }

    /// Reads the status of a sandbox.
    ///
    /// # Errors
    /// As the service says.
    pub async fn status(&self, name: &str) -> Result<pb::SandboxStatus, Status> {
        let request = pb::GetStatusRequest { name: name.to_owned() };
        let answer = self.recovery.clone().get_status(request).await?.into_inner();
        answer.status.ok_or_else(|| Status::internal("no status"))
    }

    /// Asks for a recovery, and does not wait for its end.
    ///
    /// # Errors
    /// As the service says.
    pub async fn ask(
        &self,
        name: &str,
        path: pb::RecoveryPath,
    ) -> Result<pb::RecoverSandboxResponse, Status> {
        let request = pb::RecoverSandboxRequest {
            name: name.to_owned(),
            path: path.into(),
            ..Default::default()
        };
        Ok(self.recovery.clone().recover_sandbox(request).await?.into_inner())
    }

    /// Asks for a recovery, and waits until it has ended or is parked.
    ///
    /// # Errors
    /// As the service says; INTERNAL when there was nothing to do.
    pub async fn recover(
        &self,
        name: &str,
        path: pb::RecoveryPath,
    ) -> Result<pb::Recovery, Status> {
        let accepted = self.ask(name, path).await?;
        let recovery = accepted.recovery.ok_or_else(|| Status::internal("nothing to do"))?;
        self.wait(&recovery.name).await
    }

    /// Asks for a recovery, and waits until it has ended, however long that takes and however often it is parked.
    ///
    /// # Errors
    /// As the service says; INTERNAL when there was nothing to do.
    pub async fn recover_to_the_end(
        &self,
        name: &str,
        path: pb::RecoveryPath,
    ) -> Result<pb::Recovery, Status> {
        let mut recovery = self.recover(name, path).await?;
        while !recovery.done {
            if recovery.state() == pb::recovery::State::Parked {
                // A wait for one that is parked is answered at once.
                sleep(BETWEEN_LOOKS).await;
            }
            recovery = self.wait(&recovery.name).await?;
        }
        Ok(recovery)
    }

    /// Waits until a recovery has ended or is parked.
    ///
    /// # Errors
    /// As the service says.
    pub async fn wait(&self, recovery: &str) -> Result<pb::Recovery, Status> {
        let request = pb::WaitRecoveryRequest {
            name: recovery.to_owned(),
            timeout: Some(duration(PATIENCE)),
        };
        let mut request = tonic::Request::new(request);
        request.set_timeout(PATIENCE * 2);
        let answer = self.recovery.clone().wait_recovery(request).await?.into_inner();
        answer.recovery.ok_or_else(|| Status::internal("no recovery"))
    }

    /// Destroys a sandbox, accepting the losses that its plan names, and waits for the end.
    ///
    /// # Errors
    /// As the service says.
    pub async fn destroy(&self, name: &str) -> Result<pb::Recovery, Status> {
        let request =
            pb::PlanRecoveryRequest { name: name.to_owned(), destroy: true, ..Default::default() };
        let plan = self.recovery.clone().plan_recovery(request).await?.into_inner().plan;
        let request = pb::DestroySandboxRequest {
            name: name.to_owned(),
            accept_data_loss: plan.unwrap_or_default().digest,
            ..Default::default()
        };
        let answer = self.recovery.clone().destroy_sandbox(request).await?.into_inner();
        let recovery = answer.recovery.ok_or_else(|| Status::internal("no recovery"))?;
        self.wait(&recovery.name).await
    }

    /// The decisions kept of a recovery or of a record.
    ///
    /// # Errors
    /// As the service says.
    pub async fn decisions(&self, parent: &str) -> Result<Vec<pb::Decision>, Status> {
        let request = pb::ListDecisionsRequest {
            parent: parent.to_owned(),
            page_size: 1000,
            ..Default::default()
        };
        Ok(self.recovery.clone().list_decisions(request).await?.into_inner().decisions)
    }
}
