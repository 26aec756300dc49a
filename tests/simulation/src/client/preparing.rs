//! Setting up: a registered gateway, live sandboxes, and a record of each.

use std::collections::BTreeMap;

use anyhow::Result;
use salvor_devgateway::Phase;
use salvor_devgateway::user::Seed;
use salvor_proto::recovery::v1::AdoptSandboxRequest;
use salvor_proto::registry::v1::{self as registry, Gateway, RegisterGatewayRequest};

use super::{Client, GATEWAY, record_name, until};
use crate::hosts::port;
use crate::script::{BYSTANDER, Script};

impl Client {
    /// The records, by name, as they are before anything happens. The first target's is the default.
    pub(super) async fn prepare(
        &self,
        script: &Script,
    ) -> Result<BTreeMap<String, registry::Sandbox>> {
        self.register().await;
        let mut before = BTreeMap::new();
        for sandbox in script.targets.iter().map(String::as_str).chain([BYSTANDER]) {
            self.create(sandbox).await;
            let name = record_name(sandbox);
            let claim_default = script.targets.first().is_some_and(|first| first == sandbox);
            self.adopt(&name, claim_default).await;
            let record = until(|| self.record(&name)).await;
            before.insert(name, record);
        }
        Ok(before)
    }

    async fn register(&self) {
        let gateway = Gateway {
            name: GATEWAY.to_owned(),
            endpoint: format!("http://gateway:{}", port::GATEWAY),
            ..Gateway::default()
        };
        let request = RegisterGatewayRequest { gateway: Some(gateway), request_id: String::new() };
        until(|| async { self.registry.clone().register_gateway(request.clone()).await.ok() })
            .await;
    }

    async fn create(&self, sandbox: &str) {
        let seed = Seed {
            image: "agent:1".to_owned(),
            environment: BTreeMap::from([("TOKEN".to_owned(), format!("secret of {sandbox}"))]),
            rules: Some(BTreeMap::from([("model".to_owned(), vec!["api.example.com".to_owned()])])),
            labels: BTreeMap::from([("team".to_owned(), "lab".to_owned())]),
            ..Seed::default()
        };
        until(|| async { self.user.create(sandbox, &seed).await.ok() }).await;
        until(|| async {
            let view = self.stage.gateway.get()?.sandbox(sandbox)?;
            (view.phase == Phase::Ready).then_some(())
        })
        .await;
    }

    async fn adopt(&self, name: &str, claim_default: bool) {
        let request =
            AdoptSandboxRequest { name: name.to_owned(), claim_default, ..Default::default() };
        until(|| async { self.recovery[0].clone().adopt_sandbox(request.clone()).await.ok() })
            .await;
    }

    /// A record as it is now, tombstones included.
    pub(super) async fn record(&self, name: &str) -> Option<registry::Sandbox> {
        let request = registry::GetSandboxRequest { name: name.to_owned(), show_deleted: true };
        self.registry.clone().get_sandbox(request).await.ok()?.into_inner().sandbox
    }
}
