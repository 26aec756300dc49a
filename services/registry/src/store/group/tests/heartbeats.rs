//! Who speaks for a gateway, told while its writes wait.

use std::time::Duration;

use salvor_proto::registry::v1::{Gateway, GatewayHeartbeat};

use super::*;

const LAB: &str = "gateways/lab";

/// Until so many writes wait.
async fn waiting(store: &Store, count: usize) {
    let reached = async {
        while store.inner.queue.waiting.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reached).await.unwrap();
}

#[tokio::test]
async fn a_heartbeat_that_was_overtaken_by_another_adapter_is_neither_kept_nor_answered() {
    let (store, _place, _directory) = store().await;
    let gateway = Gateway { name: LAB.into(), ..Gateway::default() };
    store.register(gateway, None).await.unwrap();
    let turn = store.inner.queue.turn.lock().await;
    let (next, former) = (store.clone(), store.clone());
    let acquired = tokio::spawn(async move {
        next.acquire_serving(LAB.into(), "next".into(), Duration::from_secs(30)).await
    });
    waiting(&store, 1).await;
    let said = GatewayHeartbeat { adapter_id: "former".into(), ..GatewayHeartbeat::default() };
    // Nobody serves yet where it looks, and its write waits behind the other one's.
    let spoken = tokio::spawn(async move { former.heartbeat(LAB.into(), said).await });
    waiting(&store, 2).await;
    drop(turn);
    acquired.await.unwrap().unwrap();
    let told = Wire::from(spoken.await.unwrap().unwrap_err());
    assert_eq!((told.code(), told.reason()), (Code::Busy, "GATEWAY_SERVED_ELSEWHERE"));
    assert_eq!(store.gateway(LAB).await.unwrap().heartbeat, None);
}
