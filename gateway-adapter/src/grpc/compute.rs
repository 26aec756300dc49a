//! The containers of the host's runtime.

use std::sync::Arc;

use salvor_core::name::{GatewayName, RecordName};
use salvor_proto::Error;
use salvor_proto::error::Code;
use salvor_proto::gateway::v1::{
    Compute, FindComputeRequest, FindComputeResponse, StopComputeRequest, StopComputeResponse,
    Unknown, UnknownReason,
};

use super::{Service, parse};
use crate::next_step::NextStep;
use crate::permit::{Permit, Verb};
use crate::runtime::{self, Container, Runtime};

/// The runtime's own ids: lower-case hex digits, so many.
const ID_DIGITS: usize = 64;

impl Service {
    pub(super) async fn find_compute_inner(
        &self,
        request: FindComputeRequest,
    ) -> Result<FindComputeResponse, Error> {
        let meant = parse::incarnation(request.sandbox.as_ref(), request.live_id)?;
        Ok(match self.compute_of(&meant.target, &meant.live_id).await {
            Ok(compute) => FindComputeResponse { compute, unknown: None },
            Err(unknown) => FindComputeResponse { compute: Vec::new(), unknown: Some(unknown) },
        })
    }

    pub(super) async fn stop_compute_inner(
        &self,
        request: StopComputeRequest,
    ) -> Result<StopComputeResponse, Error> {
        let StopComputeRequest { sandbox, permit, live_id, compute } = request;
        let meant = parse::incarnation(sandbox.as_ref(), live_id)?;
        let permit = Permit::check(permit, &meant.target, Verb::StopCompute)?;
        let compute = container_id("compute", compute)?;
        self.served(&meant.target.owner()).await?;
        let runtime =
            self.runtime_of(&meant.target.owner()).map_err(|unknown| no_runtime(&unknown))?;
        let cleared = permit.clear(&self.authority).await?;
        let effect = runtime::stop(runtime, cleared, &meant.live_id, &compute).await?;
        Ok(StopComputeResponse { effect: Some(effect) })
    }

    /// The runtime that runs this gateway's containers.
    ///
    /// # Errors
    /// NOT_REGISTERED: this adapter was given none, or not for this gateway.
    pub(super) fn runtime_of(&self, gateway: &GatewayName) -> Result<&Arc<Runtime>, Unknown> {
        let text = match &self.runtime {
            Some(runtime) if runtime.runs_for(gateway) => return Ok(runtime),
            Some(_) => format!("the container runtime here is not the one of {gateway}"),
            None => "this adapter was given no container runtime".to_owned(),
        };
        Err(Unknown { reason: UnknownReason::NotRegistered.into(), detail: text })
    }

    async fn compute_of(
        &self,
        target: &RecordName,
        live_id: &str,
    ) -> Result<Vec<Compute>, Unknown> {
        self.gateway(&target.owner()).await?;
        let runtime = self.runtime_of(&target.owner())?;
        let found = runtime.find(live_id).await.map_err(runtime::Trouble::unknown)?;
        Ok(found.iter().map(Container::compute).collect())
    }
}

pub(super) fn no_runtime(unknown: &Unknown) -> Error {
    let text = format!("{}. Nothing was sent to it", unknown.detail);
    Error::new(Code::Refused, "NO_CONTAINER_RUNTIME", text).next_step(NextStep::GiveRuntime.alone())
}

fn container_id(field: &str, text: String) -> Result<String, Error> {
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() == ID_DIGITS && text.bytes().all(hex) {
        return Ok(text);
    }
    let problem = format!("must be a container's whole id: {ID_DIGITS} lower-case hex digits");
    Err(Error::invalid(field, problem))
}
