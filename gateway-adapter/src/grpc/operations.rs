//! Work that takes long.

use std::time::Duration;

use salvor_proto::gateway::v1::{
    CancelOperationRequest, CancelOperationResponse, GetOperationRequest, GetOperationResponse,
    ListOperationsRequest, ListOperationsResponse, WaitOperationRequest, WaitOperationResponse,
};
use salvor_proto::{Error, time};

use super::Service;

/// The contract's bounds on one wait.
const DEFAULT_WAIT: Duration = Duration::from_secs(10);
const MAX_WAIT: Duration = Duration::from_mins(1);

impl Service {
    pub(super) fn get_operation_inner(
        &self,
        request: &GetOperationRequest,
    ) -> Result<GetOperationResponse, Error> {
        let operation = Some(self.operations.get(&request.name)?);
        Ok(GetOperationResponse { operation })
    }

    pub(super) fn list_operations_inner(
        &self,
        request: ListOperationsRequest,
    ) -> ListOperationsResponse {
        ListOperationsResponse { operations: self.operations.list(request.open_only) }
    }

    pub(super) async fn wait_operation_inner(
        &self,
        request: WaitOperationRequest,
    ) -> Result<WaitOperationResponse, Error> {
        let bound = request.timeout.as_ref().map_or(DEFAULT_WAIT, time::plain);
        if bound > MAX_WAIT {
            return Err(Error::invalid("timeout", "must be at most 60 s"));
        }
        let operation = Some(self.operations.wait(&request.name, bound).await?);
        Ok(WaitOperationResponse { operation })
    }

    pub(super) fn cancel_operation_inner(
        &self,
        request: &CancelOperationRequest,
    ) -> Result<CancelOperationResponse, Error> {
        let operation = Some(self.operations.cancel(&request.name)?);
        Ok(CancelOperationResponse { operation })
    }
}
