//! Drawing what happens. Every cut is mended and every crashed host comes back by the end of the world's trouble, whether a
//! draw says so or not: see `world`.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use salvor_devgateway::{Effect, Fault, Order, Restart};

use super::{Act, Ask, Death, HOSTS, MORTAL, ORCHESTRATORS, What};

/// How long trouble goes on.
const TROUBLE_MS: u64 = 20_000;
/// How long one trouble lasts, at the most.
const LASTS_MS: u64 = 6_000;
/// How far ahead a clock is set, at the most, or behind.
const AHEAD_MS: i64 = 60_000;
/// Writes of an orchestrator before it dies of one, at the most.
const WRITES: u64 = 24;
/// Methods of the gateway whose answers go astray.
const METHODS: [&str; 6] =
    ["CreateSandbox", "DeleteSandbox", "StartSandbox", "GetSandbox", "ListSandboxes", "Health"];

pub(super) fn acts(rng: &mut StdRng, targets: &[String]) -> Vec<(Duration, Act)> {
    let mut acts = Vec::new();
    for target in targets {
        misfortunes(rng, target, &mut acts);
        asks(rng, target, &mut acts);
    }
    for _ in 0..rng.random_range(0..=4) {
        link(rng, &mut acts);
    }
    for _ in 0..rng.random_range(0..=4) {
        crash(rng, &mut acts);
    }
    for _ in 0..rng.random_range(0..=5) {
        acts.push((moment(rng), Act::Gateway(Order::Fault { fault: fault(rng, targets) })));
    }
    if rng.random_bool(0.3) {
        clock(rng, &mut acts);
    }
    if rng.random_bool(0.2) {
        let how = if rng.random_bool(0.7) { Restart::Killed } else { Restart::Graceful };
        acts.push((moment(rng), Act::Gateway(Order::Restart { how })));
    }
    if rng.random_bool(0.3) {
        acts.push((moment(rng), Act::Gateway(Order::Sweep)));
    }
    acts.sort_by_key(|(at, _)| *at);
    acts
}

/// What happens to a sandbox behind the gateway's back. The first one is what it is mostly about.
fn misfortunes(rng: &mut StdRng, target: &str, acts: &mut Vec<(Duration, Act)>) {
    let first = Duration::from_millis(rng.random_range(0..3_000));
    let how = if rng.random_bool(0.6) {
        Order::Lose { sandbox: target.into() }
    } else {
        misfortune(rng, target)
    };
    acts.push((first, Act::Gateway(how)));
    for _ in 0..rng.random_range(0..=2) {
        acts.push((moment(rng), Act::Gateway(misfortune(rng, target))));
    }
}

fn misfortune(rng: &mut StdRng, target: &str) -> Order {
    let sandbox = target.to_owned();
    match rng.random_range(0..8) {
        0 => Order::Lose { sandbox },
        1 => Order::Kill { sandbox },
        2 => Order::StopContainer { sandbox },
        3 | 4 => Order::Flap { sandbox },
        5 => Order::Replace { sandbox },
        6 => Order::Orphan { sandbox },
        _ => {
            let reason = "GatewayUnreachable".to_owned();
            Order::Fail { sandbox, reason, message: "simulated".to_owned() }
        }
    }
}

/// Clients ask for its recovery at least once, and for other things besides.
fn asks(rng: &mut StdRng, target: &str, acts: &mut Vec<(Duration, Act)>) {
    let first = ask(rng, target, What::Recover);
    acts.push((Duration::from_millis(rng.random_range(1_000..6_000)), first));
    for _ in 0..rng.random_range(1..=5) {
        let what = match rng.random_range(0..12) {
            0..=4 => What::Recover,
            5 => What::Destroy,
            6 => What::Cancel,
            7 => What::Retry,
            8 | 9 => What::Edit,
            _ => What::Look,
        };
        acts.push((moment(rng), ask(rng, target, what)));
    }
}

fn ask(rng: &mut StdRng, target: &str, what: What) -> Act {
    Act::Ask(Ask { target: target.to_owned(), of: rng.random_range(0..ORCHESTRATORS), what })
}

fn link(rng: &mut StdRng, acts: &mut Vec<(Duration, Act)>) {
    let mut ends = HOSTS.sample(rng, 2).copied();
    let (Some(a), Some(b)) = (ends.next(), ends.next()) else { return };
    let begin = moment(rng);
    let trouble = if rng.random_bool(0.5) { Act::Hold(a, b) } else { Act::Cut(a, b) };
    acts.push((begin, trouble));
    acts.push((begin + Duration::from_millis(rng.random_range(50..LASTS_MS)), Act::Mend(a, b)));
}

fn crash(rng: &mut StdRng, acts: &mut Vec<(Duration, Act)>) {
    let Some(host) = MORTAL.choose(rng) else { return };
    let at = moment(rng);
    acts.push((at, Act::Crash(host)));
    acts.push((at + Duration::from_millis(rng.random_range(10..LASTS_MS)), Act::Bounce(host)));
}

fn clock(rng: &mut StdRng, acts: &mut Vec<(Duration, Act)>) {
    let Some(host) = MORTAL.choose(rng) else { return };
    let ahead = Act::SetClock(host, rng.random_range(-AHEAD_MS..=AHEAD_MS));
    acts.push((moment(rng), ahead));
}

/// Of one orchestrator in two worlds, after as many writes as a recovery or two make.
pub(super) fn death(rng: &mut StdRng) -> Option<Death> {
    let of = rng.random_range(0..ORCHESTRATORS);
    let writes = rng.random_range(1..=WRITES);
    let gone = Duration::from_millis(rng.random_range(10..LASTS_MS));
    rng.random_bool(0.5).then_some(Death { of, writes, gone })
}

fn fault(rng: &mut StdRng, targets: &[String]) -> Fault {
    let effect = match rng.random_range(0..10) {
        0 => Effect::Fail { code: 14, message: "unavailable".to_owned() },
        1 => Effect::Fail { code: 13, message: "internal".to_owned() },
        2 => Effect::Delay { millis: rng.random_range(10..4_000) },
        3 => Effect::Drop,
        4 | 5 => Effect::LoseReply,
        6 => Effect::HangAfter,
        7 | 8 => Effect::Twice,
        _ => Effect::OmitFromList,
    };
    let method = match effect {
        Effect::OmitFromList => Some("ListSandboxes"),
        _ => METHODS.choose(rng).copied(),
    };
    let fault = Fault::on(method.unwrap_or("GetSandbox"), effect).times(rng.random_range(1..=3));
    match targets.choose(rng) {
        Some(target) if rng.random_bool(0.3) && fault.effect != Effect::Twice => {
            fault.for_sandbox(target)
        }
        _ => fault,
    }
}

fn moment(rng: &mut StdRng) -> Duration {
    Duration::from_millis(rng.random_range(0..TROUBLE_MS))
}
