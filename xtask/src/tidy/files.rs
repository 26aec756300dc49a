//! Files: none too long, none named `mod.rs`, none that no crate reaches.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::shown;

/// Longer files want a reason, which is given here.
const LONG: &[(&str, &str)] = &[
    ("crates/devgateway/src/dialect/v0_0.rs", "one short translation per RPC of the dialect"),
    ("crates/devgateway/src/dialect/v0_1.rs", "one short translation per RPC of the dialect"),
];
/// Lines of a file at the most.
const MAX_LINES: usize = 500;

pub(super) fn check(root: &Path, sources: &[PathBuf]) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for path in sources {
        let name = shown(root, path);
        if path.ends_with("mod.rs") {
            complaints.push(format!("{name}: use a file named after the module instead of mod.rs"));
        }
        let lines = fs::read_to_string(path)?.lines().count();
        if lines > MAX_LINES && !LONG.iter().any(|(long, _)| *long == name) {
            complaints.push(format!("{name}: {lines} lines; split it, or give a reason in xtask"));
        }
    }
    let reached = reached(sources)?;
    for path in sources {
        if !reached.contains(path) {
            complaints.push(format!("{}: no crate reaches this file", shown(root, path)));
        }
    }
    Ok(complaints)
}

/// Everything that is a crate's root, declared by a `mod` of something reached, or built by a build script.
fn reached(sources: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let mut open: Vec<PathBuf> = sources.iter().filter(|path| is_root(path)).cloned().collect();
    let mut reached = BTreeSet::new();
    while let Some(path) = open.pop() {
        if !reached.insert(path.clone()) {
            continue;
        }
        let root = is_root(&path);
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        let below = if root { folder } else { folder.join(stem) };
        let text = fs::read_to_string(&path)?;
        let built = if path.ends_with("build.rs") { named(&text) } else { Vec::new() };
        for module in declared(&text).into_iter().chain(built) {
            let child = below.join(module);
            if child.exists() {
                open.push(child);
            }
        }
    }
    Ok(reached)
}

/// Crate roots: libraries, binaries, build scripts, test and bench targets.
fn is_root(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if matches!(name, "lib.rs" | "main.rs" | "build.rs") {
        return true;
    }
    let folder = path.parent().and_then(Path::file_name).and_then(|n| n.to_str());
    let package = path.parent().and_then(Path::parent);
    let package = match folder {
        Some("bin") => package.and_then(Path::parent),
        _ => package,
    };
    let target_folder = matches!(folder, Some("tests" | "benches" | "bin" | "examples"));
    (target_folder && package.is_some_and(|package| package.join("Cargo.toml").exists()))
        || path.with_file_name("Cargo.toml").exists()
}

/// The sources that a build script names, as paths below its own folder.
fn named(text: &str) -> Vec<PathBuf> {
    text.split('"')
        .map(PathBuf::from)
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

/// The modules that a file declares, as paths below its own folder; those inside inline modules too.
fn declared(text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut inside: Vec<(usize, &str)> = Vec::new();
    for line in text.lines() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        if bare == "}" && inside.last().is_some_and(|(opened, _)| *opened == indent) {
            inside.pop();
        }
        let item = bare.split_once("mod ").filter(|(before, _)| {
            before.is_empty() || (before.starts_with("pub") && before.ends_with(' '))
        });
        let Some((_, module)) = item else { continue };
        if let Some(name) = module.strip_suffix(" {") {
            inside.push((indent, name));
        } else if let Some(name) = module.strip_suffix(';') {
            let mut path: PathBuf = inside.iter().map(|(_, name)| name).collect();
            path.push(format!("{name}.rs"));
            found.push(path);
        }
    }
    found
}
