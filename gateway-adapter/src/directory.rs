//! The gateways that this adapter serves, as the registry knows them.
//!
//! Invariant: what is known stays served while the registry is away, and a gateway is forgotten
//! only by a whole list without it. Deliberately absent: a copy on disk; an adapter that starts
//! without a registry knows nothing and says so.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use salvor_core::name::GatewayName;
use salvor_proto::gateway::v1::{Unknown, UnknownReason};
use salvor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use salvor_proto::registry::v1::{Gateway as Record, GetGatewayRequest, ListGatewaysRequest};
use salvor_runtime::{Clock, TracedChannel};
use tokio::sync::{Notify, Semaphore};
use tonic::{Code, Status};

use crate::gateway::{Gateway, Way};

/// Gateways of one page of the registry's list.
const PAGE: i32 = 1000;
/// Lookups of unknown names at once; a caller that makes names up must not flood the registry.
const LOOKUPS: usize = 8;

/// Calls the registry.
pub(crate) type Registry = RegistryServiceClient<TracedChannel>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Directory {
    adapter_id: String,
    registry: Registry,
    way: Way,
    clock: Arc<dyn Clock>,
    known: RwLock<Known>,
    lookups: Semaphore,
    /// Told when a gateway was found between two lists.
    pub found: Notify,
}

#[derive(Debug, Default)]
struct Known {
    round: u64,
    gateways: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    gateway: Arc<Gateway>,
    /// The list during or after which it was found.
    round: u64,
}

// === impl Directory ===

impl Directory {
    /// Knows nothing yet.
    pub(crate) fn new(
        adapter_id: String,
        registry: Registry,
        way: Way,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            adapter_id,
            registry,
            way,
            clock,
            known: RwLock::default(),
            lookups: Semaphore::new(LOOKUPS),
            found: Notify::new(),
        }
    }

    /// Calls the registry.
    pub(crate) fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Every known gateway, by name.
    pub(crate) fn all(&self) -> BTreeMap<String, Arc<Gateway>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let gateways = known.gateways.iter();
        gateways.map(|(name, entry)| (name.clone(), Arc::clone(&entry.gateway))).collect()
    }

    /// The gateway of this name. One that is not known is asked for at once.
    ///
    /// # Errors
    /// NOT_REGISTERED, saying whether the registry could be asked.
    pub(crate) async fn find(&self, name: &GatewayName) -> Result<Arc<Gateway>, Unknown> {
        let name = name.to_string();
        if let Some(gateway) = self.known(&name) {
            return Ok(gateway);
        }
        let unregistered = |text: String| Unknown {
            reason: UnknownReason::NotRegistered.into(),
            detail: crate::classify::cut(text),
        };
        let _slot =
            self.lookups.acquire().await.map_err(|error| unregistered(error.to_string()))?;
        let request = GetGatewayRequest { name: name.clone() };
        match self.registry().get_gateway(request).await {
            Ok(answer) => {
                let record = answer.into_inner().gateway.filter(|record| self.is_ours(record));
                let Some(record) = record else {
                    let id = &self.adapter_id;
                    let text = format!("{name} is served by another adapter than {id:?}");
                    return Err(unregistered(text));
                };
                let gateway = self.learn(&record);
                self.found.notify_one();
                Ok(gateway)
            }
            Err(status) if status.code() == Code::NotFound => {
                Err(unregistered(format!("the registry knows no {name}")))
            }
            Err(status) => {
                let text = status.message();
                Err(unregistered(format!(
                    "{name} is not known here, and the registry says: {text}"
                )))
            }
        }
    }

    /// Reads the registry's whole list.
    ///
    /// # Errors
    /// The registry's status; what was known stays known.
    pub(crate) async fn refresh(&self) -> Result<(), Status> {
        let round = self.begin_round();
        let mut page_token = String::new();
        loop {
            let request = ListGatewaysRequest { page_size: PAGE, page_token };
            let page = self.registry().list_gateways(request).await?.into_inner();
            for record in page.gateways.iter().filter(|record| self.is_ours(record)) {
                self.learn(record);
            }
            if page.next_page_token.is_empty() {
                break;
            }
            page_token = page.next_page_token;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.gateways.retain(|_, entry| entry.round >= round);
        Ok(())
    }

    /// Takes the registry's word of one gateway.
    pub(crate) fn learn(&self, record: &Record) -> Arc<Gateway> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let round = known.round;
        if let Some(entry) = known.gateways.get_mut(&record.name) {
            entry.round = round;
            entry.gateway.update(record);
            return Arc::clone(&entry.gateway);
        }
        let gateway = Gateway::new(record, self.way.clone(), Arc::clone(&self.clock));
        let gateway = Arc::new(gateway);
        let entry = Entry { gateway: Arc::clone(&gateway), round };
        known.gateways.insert(record.name.clone(), entry);
        gateway
    }

    /// Whether the gateway is assigned to this adapter or to nobody.
    pub(crate) fn is_ours(&self, record: &Record) -> bool {
        record.adapter_id.is_empty() || record.adapter_id == self.adapter_id
    }

    fn known(&self, name: &str) -> Option<Arc<Gateway>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.gateways.get(name).map(|entry| Arc::clone(&entry.gateway))
    }

    fn begin_round(&self) -> u64 {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.round += 1;
        known.round
    }
}
