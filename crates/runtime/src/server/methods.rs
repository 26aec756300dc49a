//! Which methods a server has, so that span names and metrics stay few whatever callers ask for.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost_types::FileDescriptorSet;

/// The name that the conventions give to a method that the server does not know.
const OTHER: &str = "_OTHER";

/// Services as they were added, and the methods of those that were described.
#[derive(Debug, Default)]
pub(crate) struct Methods {
    served: Vec<&'static str>,
    described: BTreeMap<String, BTreeSet<String>>,
}

impl Methods {
    /// Notes a service that is served.
    pub(crate) fn serve(&mut self, service: &'static str) {
        self.served.push(service);
    }

    /// The services that are served.
    pub(crate) fn services(&self) -> impl Iterator<Item = &'static str> {
        self.served.iter().copied()
    }

    /// Notes the methods in an encoded `FileDescriptorSet`.
    pub(crate) fn describe(&mut self, encoded: &[u8]) -> Result<(), prost::DecodeError> {
        for file in FileDescriptorSet::decode(encoded)?.file {
            let package = file.package().to_owned();
            for service in file.service {
                let name = match package.as_str() {
                    "" => service.name().to_owned(),
                    package => format!("{package}.{}", service.name()),
                };
                let methods = service.method.iter().map(|method| method.name().to_owned());
                self.described.entry(name).or_default().extend(methods);
            }
        }
        Ok(())
    }

    /// `package.Service/Method` of an HTTP/2 path, or `_OTHER`.
    pub(crate) fn label(&self, path: &str) -> String {
        let name = path.strip_prefix('/').unwrap_or(path);
        let Some((service, method)) = name.split_once('/') else {
            return OTHER.into();
        };
        let known = self.served.contains(&service)
            && self.described.get(service).is_none_or(|methods| methods.contains(method))
            && method.len() <= 128;
        if known { name.into() } else { OTHER.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_methods_that_exist_name_a_span() {
        let mut methods = Methods::default();
        methods.serve("grpc.health.v1.Health");
        methods.serve("not.described.Service");
        methods.describe(tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap();
        for (path, label) in [
            ("/grpc.health.v1.Health/Check", "grpc.health.v1.Health/Check"),
            ("/grpc.health.v1.Health/Chequ", OTHER),
            ("/not.described.Service/Any", "not.described.Service/Any"),
            ("/not.served.Service/Any", OTHER),
            ("/favicon.ico", OTHER),
            ("", OTHER),
        ] {
            assert_eq!(methods.label(path), label, "{path}");
        }
    }
}
