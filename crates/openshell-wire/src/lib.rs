//! The subsets of OpenShell's gateway API that salvor speaks, in both of its dialects.
//!
//! OpenShell broke its wire at 0.1.0 without renaming the package: [`v0_0`] and [`v0_1`] are two
//! incompatible protocols behind the same gRPC path, `/openshell.v1.OpenShell/…`. With the wrong
//! one nothing fails to decode; sandboxes merely look lost and creates succeed in the wrong
//! workspace. So callers pick a dialect by the gateway's reported version, never by trial.
//!
//! Specs and policies are `bytes` here (the same wire type as the vendor's embedded messages), so
//! that what a newer gateway adds survives a round trip. `SandboxSpec`, `SandboxPolicy` and the
//! like are for looking at a copy; [`splice`] changes one field of the original bytes.
//!
//! Deliberately absent: conversions, classification of errors, and any choice of dialect. Those
//! belong to the gateway adapter and to the development gateway.

mod redact;
pub mod splice;

/// OpenShell 0.0.x, as spoken by the official SDK up to 0.0.116.
pub mod v0_0 {
    #![allow(
        missing_docs,
        unreachable_pub,
        unused_qualifications,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated; the contract is in proto/v0_0/openshell.proto"
    )]
    include!(concat!(env!("OUT_DIR"), "/v0_0/openshell.v1.rs"));
}

/// OpenShell 0.1.x, as spoken by the official SDK 0.1.5.
pub mod v0_1 {
    #![allow(
        missing_docs,
        unreachable_pub,
        unused_qualifications,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated; the contract is in proto/v0_1/openshell.proto"
    )]
    include!(concat!(env!("OUT_DIR"), "/v0_1/openshell.v1.rs"));
}
