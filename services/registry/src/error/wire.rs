//! Each error's code, reason, metadata and next step.

use std::time::Duration;

use salvor_proto::error::{Code, Error as Wire};
use salvor_runtime::database::Failure;
use tonic::Status;

use super::Error;
use super::next_step::{NextStep, next_step};

const BUSY_RETRY: Duration = Duration::from_millis(200);
const AWAY_RETRY: Duration = Duration::from_secs(1);

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Wire::from(error).into()
    }
}

impl From<Error> for Wire {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let step = next_step(&error);
        let wire = match error {
            Error::Request(error) => error,
            Error::Storage { failure, source } => storage(failure, &source),
            error @ (Error::Fenced { .. }
            | Error::FenceTokenRequired { .. }
            | Error::InRecovery { .. }
            | Error::LeaseLost { .. }
            | Error::LeaseHeld { .. }
            | Error::GatewayServedElsewhere { .. }) => lease(&error, message),
            error @ (Error::Unreadable { .. }
            | Error::GatewayUnreadable { .. }
            | Error::KeyMissing { .. }
            | Error::MaterialDamaged { .. }
            | Error::SnapshotAltered { .. }
            | Error::SnapshotOfOther { .. }
            | Error::Seal(_)
            | Error::Defect(_)) => stored(&error, message),
            error => ordinary(&error, message),
        };
        match step {
            Some(step) => wire.next_step(step),
            None => wire,
        }
    }
}

fn ordinary(error: &Error, message: String) -> Wire {
    match error {
        Error::SandboxNotFound { name } => {
            Wire::not_found("SANDBOX_NOT_FOUND", message).with("name", name)
        }
        Error::SandboxDestroyed { name } => {
            Wire::not_found("SANDBOX_DESTROYED", message).with("name", name)
        }
        Error::SandboxExists { name } => {
            Wire::new(Code::AlreadyExists, "SANDBOX_EXISTS", message).with("name", name)
        }
        Error::GatewayNotFound { name } => {
            Wire::not_found("GATEWAY_NOT_FOUND", message).with("name", name)
        }
        Error::GatewayExists { name } => {
            Wire::new(Code::AlreadyExists, "GATEWAY_EXISTS", message).with("name", name)
        }
        Error::GatewayNotRegistered { gateway } => {
            Wire::new(Code::Refused, "GATEWAY_NOT_REGISTERED", message).with("gateway", gateway)
        }
        Error::GatewayInUse { name, count, records } => {
            Wire::new(Code::Refused, "GATEWAY_IN_USE", message)
                .with("name", name)
                .with("count", count.to_string())
                .with("records", records.join(","))
        }
        Error::GatewayAssignedElsewhere { name, assigned, .. } => {
            Wire::new(Code::Refused, "GATEWAY_ASSIGNED_ELSEWHERE", message)
                .with("name", name)
                .with("adapter_id", assigned)
        }
        Error::DefaultUnset => Wire::not_found("DEFAULT_UNSET", message),
        Error::EtagMismatch { name, given, current } => {
            Wire::new(Code::Conflict, "ETAG_MISMATCH", message)
                .with("name", name)
                .with("given_etag", given)
                .with("current_etag", current)
        }
        Error::RequestIdReused { id } => {
            Wire::new(Code::Invalid, "REQUEST_ID_REUSED", message).with("request_id", id)
        }
        Error::Compacted { oldest, .. } => {
            Wire::new(Code::OutOfRange, "REVISION_COMPACTED", message)
                .with("oldest_revision", oldest.to_string())
        }
        Error::Ahead { current, .. } => Wire::new(Code::OutOfRange, "REVISION_AHEAD", message)
            .with("current_revision", current.to_string()),
        _ => defect(error),
    }
}

fn lease(error: &Error, message: String) -> Wire {
    match error {
        Error::Fenced { name, given, current } => Wire::new(Code::Conflict, "FENCED", message)
            .with("name", name)
            .with("given_fence_token", given.to_string())
            .with("current_fence_token", current.to_string()),
        Error::FenceTokenRequired { name } => {
            Wire::new(Code::Refused, "FENCE_TOKEN_REQUIRED", message).with("name", name)
        }
        Error::InRecovery { name, state } => Wire::new(Code::Refused, "RECORD_NOT_ACTIVE", message)
            .with("name", name)
            .with("state", *state),
        Error::LeaseLost { name, given } => Wire::new(Code::Conflict, "LEASE_LOST", message)
            .with("name", name)
            .with("given_fence_token", given.to_string()),
        Error::LeaseHeld { name, holder, expire_time, remaining } => {
            Wire::new(Code::Busy, "LEASE_HELD", message)
                .with("name", name)
                .with("holder", holder)
                .with("expire_time", expire_time.to_string())
                .retry_after(*remaining)
        }
        Error::GatewayServedElsewhere { name, holder, expire_time, remaining } => {
            Wire::new(Code::Busy, "GATEWAY_SERVED_ELSEWHERE", message)
                .with("name", name)
                .with("holder", holder)
                .with("expire_time", expire_time.to_string())
                .retry_after(*remaining)
        }
        _ => defect(error),
    }
}

fn stored(error: &Error, message: String) -> Wire {
    match error {
        Error::Unreadable { name, etag } => Wire::new(Code::DataLoss, "RECORD_UNREADABLE", message)
            .with("name", name)
            .with("etag", etag),
        Error::GatewayUnreadable { name } => {
            Wire::new(Code::DataLoss, "GATEWAY_UNREADABLE", message).with("name", name)
        }
        Error::KeyMissing { name, key_id, .. } => {
            Wire::new(Code::Refused, "SEAL_KEY_MISSING", message)
                .with("name", name)
                .with("key_id", key_id)
        }
        Error::MaterialDamaged { name, field } => {
            Wire::new(Code::DataLoss, "MATERIAL_DAMAGED", message)
                .with("name", name)
                .with("field", *field)
        }
        Error::SnapshotAltered { name } => {
            Wire::new(Code::Invalid, "SNAPSHOT_ALTERED", message).with("name", name)
        }
        Error::SnapshotOfOther { name, snapshot, current } => {
            Wire::new(Code::Refused, "SNAPSHOT_OF_OTHER_RECORD", message)
                .with("name", name)
                .with("snapshot_uid", snapshot)
                .with("current_uid", current)
        }
        _ => defect(error),
    }
}

fn storage(failure: Failure, source: &sqlx::Error) -> Wire {
    let (code, reason, message) = match failure {
        Failure::Full => {
            (Code::Exhausted, "STORAGE_FULL", "the registry's disk is full; nothing was changed")
        }
        Failure::Busy => (
            Code::Unavailable,
            "STORAGE_BUSY",
            "the registry's database is busy; nothing was changed",
        ),
        Failure::Away => (
            Code::Unavailable,
            "STORAGE_AWAY",
            "the registry's database server does not answer; of a change it is not known whether it was made",
        ),
        Failure::Corrupt => (
            Code::DataLoss,
            "STORAGE_CORRUPT",
            "the registry's database is damaged; nothing was changed",
        ),
        Failure::ReadOnly => (
            Code::Unavailable,
            "STORAGE_READ_ONLY",
            "the registry's database cannot be written; nothing was changed",
        ),
        Failure::Io => (
            Code::Unavailable,
            "STORAGE_IO",
            "the registry's disk failed; whether the change is on it is not known",
        ),
        Failure::Other => {
            tracing::error!(error = %source, "the database refused a call");
            return Wire::internal("the registry's database refused the call; its log says why");
        }
    };
    tracing::warn!(error = %source, reason, "the database failed");
    let error = Wire::new(code, reason, message);
    match failure {
        Failure::Full => error.next_step(NextStep::FreeSpace.of("")),
        Failure::Busy => error.retry_after(BUSY_RETRY),
        Failure::Away => error.retry_after(AWAY_RETRY).next_step(NextStep::AskAgain.of("")),
        Failure::Corrupt => error.next_step(NextStep::RestoreDatabase.of("")),
        Failure::ReadOnly => error.next_step(NextStep::MakeWritable.of("")),
        Failure::Io | Failure::Other => error,
    }
}

fn defect(error: &Error) -> Wire {
    tracing::error!(%error, "a defect");
    Wire::internal("the registry met a defect of its own; its log says which")
}
