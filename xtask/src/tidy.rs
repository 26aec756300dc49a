//! What the compiler does not see: layout, arrows between packages, and documents that name what does not exist.

mod arrows;
mod files;
mod prose;
mod steps;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// All complaints; none means that all is in order.
pub(crate) fn run(root: &Path) -> Result<Vec<String>> {
    let sources = walk(root, "rs")?;
    anyhow::ensure!(sources.len() > 50, "only {} sources found: wrong folder?", sources.len());
    let mut complaints = files::check(root, &sources)?;
    complaints.extend(arrows::check(root)?);
    complaints.extend(prose::check(root, &sources)?);
    complaints.extend(steps::check(root, &sources)?);
    Ok(complaints)
}

/// All files below `root` with this extension that belong to the repository.
fn walk(root: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() {
                let foreign =
                    name.starts_with("target") || (name.starts_with('.') && name != ".ci");
                if !foreign {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A path as it is written in complaints.
fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
