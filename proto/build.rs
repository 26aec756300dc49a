//! Compiles the protos with protox: no system protoc is needed.

use std::{env, fs, path::PathBuf};

use prost::Message;

const FILES: [&str; 3] = [
    "salvor/registry/v1/registry_service.proto",
    "salvor/gateway/v1/gateway_adapter_service.proto",
    "salvor/recovery/v1/recovery_service.proto",
];

/// Messages that may carry secrets: their `Debug` is written by hand, in `redact.rs`.
const SECRET: [&str; 3] =
    ["salvor.registry.v1.Spec", "salvor.registry.v1.Policy", "salvor.registry.v1.EntrySnapshot"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=salvor");
    let descriptors = protox::Compiler::new(["."])?
        .include_source_info(true)
        .include_imports(true)
        .open_files(FILES)?
        .file_descriptor_set();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("salvor.bin"), descriptors.encode_to_vec())?;
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names().btree_map(["."]).skip_debug(SECRET);
    tonic_prost_build::configure().compile_fds_with_config(descriptors, config)?;
    Ok(())
}
