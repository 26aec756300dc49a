//! Builds the library that makes disks fail: see `disk/faulty.rs`.
#![expect(clippy::expect_used, reason = "a build that cannot go on stops")]

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

fn main() {
    const SOURCE: &str = "disk/faulty.rs";
    println!("cargo::rerun-if-changed={SOURCE}");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names a directory"));
    let library = out.join("libsalvor_faulty_disk.so");
    let built = Command::new(env::var_os("RUSTC").expect("cargo names the compiler"))
        .args(["--edition", "2024", "--crate-type", "cdylib", "--crate-name", "salvor_faulty_disk"])
        .args(["-O", "-o"])
        .args([&library, &PathBuf::from(SOURCE)])
        .status()
        .expect("the compiler starts");
    assert!(built.success(), "{SOURCE} does not build");
    let library = fs::canonicalize(library).expect("it was built");
    println!("cargo::rustc-env=SALVOR_FAULTY_DISK_LIBRARY={}", library.display());
}
