//! Dependencies point one way: `core ← proto ← services`, and the vendor's messages stay where they belong.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

/// Package, and what it must not depend on outside of tests.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "crates/core",
        &[
            "tokio",
            "tonic",
            "prost",
            "tracing",
            "sqlx",
            "opentelemetry",
            "salvor-proto",
            "salvor-runtime",
        ],
    ),
    ("crates/runtime", &["salvor-core", "salvor-proto", "salvor-openshell-wire"]),
    ("proto", &["tokio", "sqlx", "salvor-runtime", "salvor-openshell-wire"]),
    (
        "services/registry",
        &["salvor-recovery-orchestrator", "salvor-gateway-adapter", "salvor-openshell-wire"],
    ),
    (
        "services/recovery-orchestrator",
        &["salvor-registry", "salvor-gateway-adapter", "salvor-openshell-wire"],
    ),
    ("gateway-adapter", &["salvor-registry", "salvor-recovery-orchestrator"]),
    ("cli", &["salvor-openshell-wire"]),
    ("crates/testkit", &["salvor-openshell-wire"]),
    ("tests", &["salvor-openshell-wire"]),
];
/// Packages that the core may use.
const MAX_CORE: usize = 6;

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for (package, forbidden) in FORBIDDEN {
        let manifest = root.join(package).join("Cargo.toml");
        let text =
            fs::read_to_string(&manifest).with_context(|| format!("{package}/Cargo.toml"))?;
        let used = dependencies(&text);
        for name in used.iter().filter(|name| forbidden.contains(&name.as_str())) {
            complaints.push(format!("{package} must not depend on {name}"));
        }
        if *package == "crates/core" && used.len() > MAX_CORE {
            complaints
                .push(format!("crates/core uses {} packages; {MAX_CORE} at most", used.len()));
        }
    }
    Ok(complaints)
}

/// Names under `[dependencies]`.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let name: String = line
                .chars()
                .take_while(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
                .collect();
            names.push(name);
        }
    }
    names
}
