//! Options that say which config files are merged, and whose their keys are.

use clap::Args;
use salvor_proto::registry::v1 as registry;

/// The option here, for those that exclude it.
pub(super) const OPTION: &str = "config_file";

/// Config files whose keys have two owners.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Snapshot rules")]
pub(crate) struct ConfigArgs {
    /// Merge this file when a snapshot is put back, instead of replacing it: the dotted KEYs stay as
    /// the new sandbox's runtime wrote them, all others come from the snapshot. FORMAT is json, yaml
    /// or toml [default: as the name ends]; may be given again, and replaces what was declared
    #[arg(
        long,
        value_name = "[FORMAT:]PATH[=KEY,...]",
        value_parser = config_file,
        verbatim_doc_comment
    )]
    pub(crate) config_file: Vec<registry::ConfigFile>,
}

fn config_file(text: &str) -> Result<registry::ConfigFile, String> {
    let (format, rest) = match text.split_once(':') {
        Some((format, rest)) if !text.starts_with('/') => (Some(format), rest),
        _ => (None, text),
    };
    let (path, keys) = rest.split_once('=').unwrap_or((rest, ""));
    if !path.starts_with('/') {
        return Err("PATH must be absolute".to_owned());
    }
    let format = match format.unwrap_or_else(|| path.rsplit('.').next().unwrap_or_default()) {
        "yml" => "yaml",
        format @ ("json" | "yaml" | "toml") => format,
        other => return Err(format!("{other:?} is no format; begin with json:, yaml: or toml:")),
    };
    let keys = keys.split(',').filter(|key| !key.is_empty());
    Ok(registry::ConfigFile {
        path: path.to_owned(),
        format: format.to_owned(),
        runtime_owned_keys: keys.map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, String, Vec<String>) {
        let file = config_file(text).unwrap();
        (file.path, file.format, file.runtime_owned_keys)
    }

    #[test]
    fn a_config_file_is_a_path_with_a_format_and_keys() {
        let one = parsed("/sandbox/app.json=auth.token,session");
        let keys = vec!["auth.token".to_owned(), "session".to_owned()];
        assert_eq!(one, ("/sandbox/app.json".into(), "json".into(), keys));
        assert_eq!(parsed("/a.yml"), ("/a.yml".into(), "yaml".into(), vec![]));
        assert_eq!(parsed("toml:/a/conf=x").1, "toml");
        // A colon in a path is a colon in a path.
        assert_eq!(parsed("/a:b.toml").0, "/a:b.toml");
    }

    #[test]
    fn what_is_none_says_what_is_wrong() {
        for (text, said) in [
            ("app.json", "must be absolute"),
            ("json:app.json", "must be absolute"),
            ("/sandbox/app.ini", "begin with json:"),
            ("ini:/sandbox/app.json", "begin with json:"),
        ] {
            let problem = config_file(text).unwrap_err();
            assert!(problem.contains(said), "{text}: {problem}");
        }
    }
}
