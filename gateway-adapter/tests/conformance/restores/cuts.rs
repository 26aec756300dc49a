//! The stream that a restore writes is cut by the gateway: what is not there is named, and the next try completes it.

use std::collections::BTreeSet;

use salvor_devgateway::{Effect as FaultEffect, Fault};
use salvor_proto::gateway::v1::effect::{Cause, Outcome};

use super::site::{Site, all_applied, wipe};
use crate::target::{BOTH, is};

/// The command that unpacks, and no other.
const UNPACKS: &str = "-xf -";
const LENGTH: usize = 300_000;

fn content(name: &str) -> Vec<u8> {
    vec![name.as_bytes()[0]; LENGTH]
}

#[tokio::test]
async fn a_restore_that_is_cut_names_what_is_not_there_and_the_next_one_completes_it() {
    // Before anything, in a header, in each file, between them, and a moment before the end.
    let places = [0, 1, 700, 150_000, 300_700, 450_000, 601_600, 902_000];
    for (dialect, after) in places.into_iter().zip(BOTH.into_iter().cycle()).map(|(a, d)| (d, a)) {
        let mut site = Site::new(dialect).await;
        for name in ["a", "b", "c"] {
            site.write(name, content(name));
        }
        let snapshot = site.take().await;
        wipe(&site.root);
        let cut = FaultEffect::CutInput { command: UNPACKS.into(), after };
        site.target.control().fault(Fault::on("ExecSandboxInteractive", cut).times(1));
        let report = site.restore(&snapshot).await;
        assert!(site.target.control().faults().is_empty(), "{after}: nothing was cut");
        let effect = report.effect.as_ref().unwrap();
        is(effect, Outcome::MaybeApplied, Cause::GatewayFailed);
        let named: BTreeSet<_> = report.failures.iter().map(|note| note.path.as_str()).collect();
        let wrong = ["a", "b", "c"].into_iter().filter(|name| {
            std::fs::read(site.path(name)).ok().as_deref() != Some(&content(name)[..])
        });
        for name in wrong {
            let path = format!("/sandbox/work/{name}");
            assert!(named.contains(&*path), "{after}: {path} is not named: {report:#?}");
        }
        all_applied(&site.restore(&snapshot).await);
        for name in ["a", "b", "c"] {
            assert_eq!(site.read(name), content(name), "{after}");
        }
        assert!(site.verify(&snapshot).await.intact);
    }
}

/// A list of what to take away that is cut takes away nothing: what is left of a path may be another one.
#[tokio::test]
async fn a_removal_that_is_cut_takes_nothing_away() {
    let mut site = Site::new(BOTH[1]).await;
    site.write("kept", "kept");
    let snapshot = site.take().await;
    site.write("kept-too", "in the snapshot only by the first letters of its name");
    site.write("new", "not in it");
    let cut = FaultEffect::CutInput { command: "rm -rf".into(), after: 8 };
    site.target.control().fault(Fault::on("ExecSandboxInteractive", cut).times(1));
    let report = site.restore(&snapshot).await;
    assert_ne!(report.effect.as_ref().unwrap().outcome(), Outcome::Applied, "{report:?}");
    for name in ["kept", "kept-too", "new"] {
        assert!(site.path(name).exists(), "{name}");
    }
    all_applied(&site.restore(&snapshot).await);
    assert!(site.path("kept").exists() && !site.path("new").exists());
}
