//! Compiles both dialects to their own module; no system protoc is needed.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Messages whose derived `Debug` would print secrets; `src/redact.rs` writes their own.
const SECRET_BEARING: &[&str] = &[
    ".openshell.v1.CreateSandboxRequest",
    ".openshell.v1.CreateSshSessionResponse",
    ".openshell.v1.ExecSandboxRequest",
    ".openshell.v1.Provider",
    ".openshell.v1.Sandbox",
    ".openshell.v1.SandboxSpec",
    ".openshell.v1.SandboxTemplate",
];

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    for dialect in ["v0_0", "v0_1"] {
        compile(dialect, &out.join(dialect))?;
    }
    Ok(())
}

fn compile(dialect: &str, out: &Path) -> io::Result<()> {
    let include = Path::new("proto").join(dialect);
    println!("cargo:rerun-if-changed={}", include.display());
    let files =
        protox::compile([include.join("openshell.proto")], [include]).map_err(io::Error::other)?;
    fs::create_dir_all(out)?;
    tonic_prost_build::configure()
        .out_dir(out)
        .btree_map(".")
        .skip_debug(SECRET_BEARING)
        .compile_fds(files)
}
