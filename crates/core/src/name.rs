//! Names, checked once and compared exactly.
//!
//! The key of everything is (gateway, workspace, sandbox). There is no default gateway and no prefix match: a value of
//! these types can only be made by parsing, so whatever holds one holds a well-formed name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is not the name it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// Over the limit.
    #[error("is {length} bytes long; at most {max} are allowed")]
    TooLong {
        /// In bytes.
        length: usize,
        /// In bytes.
        max: usize,
    },
    /// A character outside `[a-z0-9-]`.
    #[error("holds {0:?}; only lower-case letters, digits and '-' are allowed")]
    Character(char),
    /// A dash at an end, or two in a row where the gateway refuses them.
    #[error("must not begin or end with '-' or hold '--'")]
    Dash,
    /// Not of the resource form.
    #[error("must have the form {0}")]
    Form(&'static str),
}

/// Checks one label of a name: `[a-z0-9-]`, no dash at an end, none doubled, at most `max` bytes.
fn check(text: &str, max: usize) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::Empty);
    }
    if text.len() > max {
        return Err(Error::TooLong { length: text.len(), max });
    }
    let bad = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-'));
    if let Some(character) = bad {
        return Err(Error::Character(character));
    }
    if text.starts_with('-') || text.ends_with('-') || text.contains("--") {
        return Err(Error::Dash);
    }
    Ok(())
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The longest allowed, in bytes.
            pub const MAX: usize = $max;

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                check(text, Self::MAX)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

label! {
    /// A gateway's name within salvor.
    Gateway, 63
}
label! {
    /// A workspace of a gateway.
    Workspace, 63
}
label! {
    /// A sandbox's name. The limit of 19 bytes and the character rules are the gateway's own (observed on 0.0.x).
    Sandbox, 19
}

/// `gateways/{gateway}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GatewayName(pub Gateway);

/// `gateways/{gateway}/workspaces/{workspace}/sandboxes/{sandbox}`: the key of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordName {
    /// The owner gateway.
    pub gateway: Gateway,
    /// The workspace on it.
    pub workspace: Workspace,
    /// The sandbox in that.
    pub sandbox: Sandbox,
}

// === impl GatewayName ===

impl GatewayName {
    const FORM: &str = "gateways/{gateway}";
}

impl FromStr for GatewayName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let label = text.strip_prefix("gateways/").ok_or(Error::Form(Self::FORM))?;
        Ok(Self(label.parse()?))
    }
}

impl fmt::Display for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gateways/{}", self.0)
    }
}

// === impl RecordName ===

impl RecordName {
    const FORM: &str = "gateways/{gateway}/workspaces/{workspace}/sandboxes/{sandbox}";

    /// The owner gateway's resource name.
    pub fn owner(&self) -> GatewayName {
        GatewayName(self.gateway.clone())
    }
}

impl FromStr for RecordName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let segments: Vec<&str> = text.split('/').collect();
        let ["gateways", gateway, "workspaces", workspace, "sandboxes", sandbox] = segments[..]
        else {
            return Err(Error::Form(Self::FORM));
        };
        Ok(Self {
            gateway: gateway.parse()?,
            workspace: workspace.parse()?,
            sandbox: sandbox.parse()?,
        })
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gateway, workspace, sandbox } = self;
        write!(f, "gateways/{gateway}/workspaces/{workspace}/sandboxes/{sandbox}")
    }
}

macro_rules! by_text {
    ($($name:ty),*) => {$(
        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.to_string()
            }
        }
    )*};
}
by_text!(GatewayName, RecordName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_name_survives_the_round_trip() {
        let text = "gateways/lab-1/workspaces/default/sandboxes/coder";
        assert_eq!(text.parse::<RecordName>().unwrap().to_string(), text);
    }

    #[test]
    fn what_the_gateway_would_refuse_is_refused_here() {
        let cases = [
            ("", Error::Empty),
            ("-a", Error::Dash),
            ("a-", Error::Dash),
            ("a--b", Error::Dash),
            ("Coder", Error::Character('C')),
            ("a/b", Error::Character('/')),
            ("abcdefghijklmnopqrst", Error::TooLong { length: 20, max: 19 }),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Sandbox>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_short_form_is_no_record_name() {
        for text in ["coder", "gateways/g/sandboxes/s", "gateways/g/workspaces/w/sandboxes/s/x"] {
            assert_eq!(text.parse::<RecordName>(), Err(Error::Form(RecordName::FORM)), "{text}");
        }
    }
}
