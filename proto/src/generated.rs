//! What tonic-prost-build wrote, laid out as the protobuf packages are.
#![expect(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; the .proto files hold the documentation"
)]

pub mod registry {
    pub mod v1 {
        tonic::include_proto!("salvor.registry.v1");
    }
}
pub mod gateway {
    pub mod v1 {
        tonic::include_proto!("salvor.gateway.v1");
    }
}
pub mod recovery {
    pub mod v1 {
        tonic::include_proto!("salvor.recovery.v1");
    }
}
