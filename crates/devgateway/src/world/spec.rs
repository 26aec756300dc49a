//! Changes to a spec's bytes, without losing what this schema does not know.

use prost::Message as _;

use salvor_openshell_wire::{splice, v0_0 as look};

use crate::refusal::Outcome;

/// The image of a sandbox that names none.
const DEFAULT_IMAGE: &str = "openshell/sandbox:development";

const TEMPLATE: u32 = 6;
const POLICY: u32 = 7;
const PROVIDERS: u32 = 8;

/// A decoded copy, for looking.
pub(crate) fn look(spec: &[u8]) -> Outcome<look::SandboxSpec> {
    Ok(look::SandboxSpec::decode(spec)?)
}

/// The spec with the image and the main process that the gateway resolves at create.
pub(crate) fn resolve(spec: &[u8]) -> Outcome<Vec<u8>> {
    let seen = look(spec)?;
    let mut out = spec.to_vec();
    if seen.template.as_ref().is_none_or(|template| template.image.is_empty()) {
        let mut template = payload(spec, TEMPLATE)?.unwrap_or_default();
        let image = look::SandboxTemplate { image: DEFAULT_IMAGE.into(), ..Default::default() };
        template.extend_from_slice(&image.encode_to_vec());
        out = splice::replace_field(&out, TEMPLATE, Some(&template))?;
    }
    if seen.command.is_empty() {
        let shell = look::SandboxSpec {
            command: vec!["/bin/bash".into(), "-l".into()],
            tty: true,
            ..Default::default()
        };
        out.extend_from_slice(&shell.encode_to_vec());
    }
    Ok(out)
}

/// The spec with this baseline policy.
pub(crate) fn with_policy(spec: &[u8], policy: &[u8]) -> Outcome<Vec<u8>> {
    Ok(splice::replace_field(spec, POLICY, Some(policy))?)
}

/// The spec with exactly these providers.
pub(crate) fn with_providers(spec: &[u8], providers: Vec<String>) -> Outcome<Vec<u8>> {
    let mut out = splice::replace_field(spec, PROVIDERS, None)?;
    let attached = look::SandboxSpec { providers, ..Default::default() };
    out.extend_from_slice(&attached.encode_to_vec());
    Ok(out)
}

fn payload(message: &[u8], number: u32) -> Outcome<Option<Vec<u8>>> {
    let mut found = None;
    for field in splice::fields(message) {
        let field = field?;
        if let (true, Some(payload)) = (field.number == number, field.payload) {
            found = Some(payload.to_vec());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolving_fills_image_and_command_and_keeps_unknown_fields() {
        let template = look::SandboxTemplate {
            labels: [("a".to_owned(), "b".to_owned())].into(),
            ..Default::default()
        };
        let mut bytes =
            look::SandboxSpec { template: Some(template), ..Default::default() }.encode_to_vec();
        let unknown = [0xfa, 0x3f, 0x01, 0x2a];
        bytes.extend_from_slice(&unknown);

        let out = resolve(&bytes).unwrap();

        let seen = look(&out).unwrap();
        let template = seen.template.unwrap();
        assert_eq!((template.image.as_str(), template.labels.len()), (DEFAULT_IMAGE, 1));
        assert_eq!(seen.command, ["/bin/bash", "-l"]);
        assert!(splice::fields(&out).any(|field| field.unwrap().raw == unknown));
        assert_eq!(resolve(&out).unwrap(), out, "resolving twice changes nothing");
    }

    #[test]
    fn providers_are_replaced_as_a_whole() {
        let spec = with_providers(&[], vec!["a".into(), "b".into()]).unwrap();
        assert_eq!(look(&spec).unwrap().providers, ["a", "b"]);
        let spec = with_providers(&spec, vec!["b".into()]).unwrap();
        assert_eq!(look(&spec).unwrap().providers, ["b"]);
    }
}
