//! Between the last look at a sandbox and what is sent to it, nothing else is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use salvor_devgateway::Control;
use salvor_gateway_adapter::Config;
use salvor_proto::gateway::v1::effect::{Cause, Outcome};
use salvor_proto::gateway::v1::*;
use tokio::task::JoinSet;

use crate::target::{BOTH, Target, is};

/// So many at once always leave some in the queue.
const CROWD: usize = 8;

/// Others who look at the gateway all the time, until they are told to stop.
struct Crowd {
    stop: Arc<AtomicBool>,
    looking: JoinSet<()>,
}

impl Crowd {
    fn gather(target: &Target) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut looking = JoinSet::new();
        for n in 0..CROWD {
            let (mut client, stop) = (target.bench.client.clone(), Arc::clone(&stop));
            let sandbox = target.sandbox(&format!("nobody-{n}"));
            looking.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let request =
                        ObserveSandboxRequest { sandbox: sandbox.clone(), with_material: false };
                    client.observe_sandbox(request).await.unwrap();
                }
            });
        }
        Self { stop, looking }
    }

    async fn leave(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.looking.join_all().await;
    }
}

/// What was asked for right before each call of this method.
fn before(control: &Control, method: &str) -> Vec<(String, String)> {
    let mut calls = control.calls();
    calls.sort_by_key(|call| call.seq);
    let pairs = calls.windows(2).filter(|pair| pair[1].method == method);
    pairs.map(|pair| (pair[0].method.clone(), pair[0].name.clone())).collect()
}

#[tokio::test]
async fn the_last_look_at_the_id_and_the_effect_are_one_turn() {
    for dialect in BOTH {
        let single = |config: &mut Config| config.limits.in_flight = 1;
        let mut target = Target::dev_with(dialect, |_| (), single).await;
        let id = target.ready("coder").await;
        let crowd = Crowd::gather(&target);
        is(&target.stop("coder", &id).await, Outcome::Applied, Cause::Unspecified);
        is(&target.delete("coder", &id, 1).await.unwrap(), Outcome::Applied, Cause::Unspecified);
        crowd.leave().await;
        let looked = [("GetSandbox".to_owned(), "coder".to_owned())];
        for method in ["StopSandbox", "DeleteSandbox"] {
            assert_eq!(before(&target.control(), method), looked, "{method}");
        }
    }
}
