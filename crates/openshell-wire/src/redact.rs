//! `Debug` for the messages that may carry secrets: keys and sizes, never values.
//!
//! The build script leaves the derived `Debug` out for exactly these types, so a message that is
//! listed there and forgotten here does not compile.

use std::collections::BTreeMap;
use std::fmt;

use crate::{v0_0, v0_1};

/// The keys of a map whose values must not be shown.
struct Keys<'a>(&'a BTreeMap<String, String>);

impl fmt::Debug for Keys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|key| (key, "REDACTED"))).finish()
    }
}

/// The size of opaque content.
struct Size<'a>(Option<&'a [u8]>);

impl fmt::Debug for Size<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, "[{} bytes]", bytes.len()),
            None => f.write_str("absent"),
        }
    }
}

macro_rules! redacted {
    ($module:ident) => {
        impl fmt::Debug for $module::Sandbox {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("Sandbox")
                    .field("metadata", &self.metadata)
                    .field("spec", &Size(self.spec.as_deref()))
                    .field("status", &self.status)
                    .finish_non_exhaustive()
            }
        }

        impl fmt::Debug for $module::CreateSandboxRequest {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("CreateSandboxRequest")
                    .field("name", &self.name)
                    .field("labels", &self.labels)
                    .field("annotations", &self.annotations)
                    .field("spec", &Size(self.spec.as_deref()))
                    .finish_non_exhaustive()
            }
        }

        impl fmt::Debug for $module::SandboxSpec {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("SandboxSpec")
                    .field("template", &self.template)
                    .field("environment", &Keys(&self.environment))
                    .field("policy", &Size(self.policy.as_deref()))
                    .field("providers", &self.providers)
                    .field("resource_requirements", &self.resource_requirements)
                    .field("command", &format_args!("[{} arguments]", self.command.len()))
                    .finish_non_exhaustive()
            }
        }

        impl fmt::Debug for $module::SandboxTemplate {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("SandboxTemplate")
                    .field("image", &self.image)
                    .field("labels", &self.labels)
                    .field("environment", &Keys(&self.environment))
                    .finish_non_exhaustive()
            }
        }

        impl fmt::Debug for $module::ExecSandboxRequest {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("ExecSandboxRequest")
                    .field("command", &format_args!("[{} arguments]", self.command.len()))
                    .field("workdir", &self.workdir)
                    .field("environment", &Keys(&self.environment))
                    .field("stdin", &Size(Some(&self.stdin)))
                    .finish_non_exhaustive()
            }
        }

        impl fmt::Debug for $module::Provider {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("Provider")
                    .field("metadata", &self.metadata)
                    .field("type", &self.r#type)
                    .field("credentials", &Keys(&self.credentials))
                    .field("config", &Keys(&self.config))
                    .finish_non_exhaustive()
            }
        }

        impl fmt::Debug for $module::CreateSshSessionResponse {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("CreateSshSessionResponse")
                    .field("sandbox_id", &self.sandbox_id)
                    .field("gateway_host", &self.gateway_host)
                    .field("gateway_port", &self.gateway_port)
                    .finish_non_exhaustive()
            }
        }
    };
}

redacted!(v0_0);
redacted!(v0_1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_keys_and_sizes_but_no_values() {
        let map = BTreeMap::from([("API_KEY".to_owned(), "hunter2".to_owned())]);
        let spec = v0_0::SandboxSpec {
            environment: map.clone(),
            command: vec!["--token=hunter2".to_owned()],
            ..Default::default()
        };
        let provider = v0_1::Provider { credentials: map, ..Default::default() };
        let request =
            v0_1::CreateSandboxRequest { spec: Some(b"hunter2".to_vec()), ..Default::default() };
        let shown = format!("{spec:?} {provider:?} {request:?}");
        assert!(shown.contains("API_KEY") && shown.contains("[7 bytes]"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
