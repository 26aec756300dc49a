//! One world: its hosts, its trouble, and the end of both.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use salvor_devgateway::Order;
use salvor_recovery_orchestrator::journal::CrashAfter;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use turmoil::Sim;

use crate::clocks::{self, WorldClock};
use crate::history::History;
use crate::hosts::{self, Ended, Told};
use crate::script::{Act, Ask, HOSTS, MORTAL, Script};
use crate::trace::{Ears, TARGET};
use crate::{client, history};

/// The step of simulated time: what is sent within one arrives in a later one.
const TICK: Duration = Duration::from_millis(20);
/// The longest way of a message when nothing holds it up.
const FARTHEST: Duration = Duration::from_millis(40);
/// How long a world may go on at all. Far beyond what any recovery needs once trouble is over.
const LIMIT: Duration = Duration::from_mins(20);
/// Segments of one connection on their way.
const IN_FLIGHT: usize = 4_096;

/// The host at hand has died of the store operation at hand.
static DYING: AtomicBool = AtomicBool::new(false);

/// How far a world is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Everything is set up.
    Preparing,
    /// Things happen.
    Trouble,
    /// They happen no longer.
    Calm,
}

/// What the hosts of a world share beside its network: what no salvor process could see.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The gateway, once it runs.
    pub(crate) gateway: Told,
    /// Ids of containers whose rows were taken away: nobody who only knows the gateway's API can find them.
    pub(crate) orphaned: Mutex<Vec<String>>,
    /// How far the world is.
    pub(crate) phase: watch::Sender<Phase>,
    /// The clocks of the hosts that have one to be set.
    clocks: BTreeMap<&'static str, WorldClock>,
    /// The host that has died of a write.
    pub(crate) died: OnceLock<&'static str>,
}

/// When the host comes back that dies of a write.
enum Back {
    /// It has not died.
    Never,
    /// Then.
    At(Duration),
    /// It has.
    Already,
}

/// What the world's hand holds to make things happen.
struct Hand {
    stage: Arc<Stage>,
    orders: mpsc::UnboundedSender<Order>,
    asks: mpsc::UnboundedSender<Ask>,
}

/// Runs a world to its end, in this process and thread. A process can run one world only: its randomness and its clocks
/// belong to it from then on.
///
/// # Errors
/// The world itself failed: a service did not start, or what it came to could not be read.
pub fn run(script: &Script) -> Result<History> {
    // Before the world has begun: another process that runs the same one would find the same names taken, and draw others.
    let dir = scratch()?;
    let ears = take_over_process(script.seed)?;
    let (hand, mut sim, found) = build(script, dir.path());
    let mut acts = script.acts.iter().peekable();
    let (mut begun, mut back) = (None, Back::Never);
    loop {
        let ended = sim.step().map_err(|error| anyhow!("{error}"))?;
        let now = sim.elapsed();
        if ended {
            break;
        }
        anyhow::ensure!(now < LIMIT, "the world did not end within {LIMIT:?} of its own time");
        hand.see_to_the_dead(&mut sim, script, now, &mut back);
        if *hand.stage.phase.borrow() != Phase::Trouble {
            continue;
        }
        let since = now.saturating_sub(*begun.get_or_insert(now));
        while let Some((_, act)) = acts.next_if(|(at, _)| *at <= since) {
            hand.apply(&mut sim, act);
        }
        if acts.peek().is_none() {
            hand.calm_down(&mut sim);
        }
    }
    let virtual_ms = u64::try_from(sim.elapsed().as_millis()).unwrap_or(u64::MAX);
    // Connections to the stores end with the hosts; only then are the journals read.
    drop(sim);
    let seen = found.lock().map_err(|_| anyhow!("the client panicked"))?.take();
    let seen = seen.context("the client ended without having looked")?;
    let journals = hosts::journals(dir.path(), script.shared);
    history::complete(seen, &journals, ears.heard(), virtual_ms)
}

fn build(script: &Script, dir: &Path) -> (Hand, Sim<'static>, client::Found) {
    let mut sim = turmoil::Builder::new()
        .rng_seed(script.seed)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(FARTHEST)
        .simulation_duration(LIMIT * 2)
        .tcp_capacity(IN_FLIGHT)
        .enable_random_order()
        .build();
    let (orders, told) = mpsc::unbounded_channel();
    let (asks, asked) = mpsc::unbounded_channel();
    let stage = Arc::new(Stage {
        gateway: Told::default(),
        orphaned: Mutex::default(),
        phase: watch::Sender::new(Phase::Preparing),
        clocks: MORTAL.into_iter().map(|host| (host, WorldClock::default())).collect(),
        died: OnceLock::new(),
    });
    let registry = dir.join("registry");
    let clock = stage.clock("registry");
    sim.host("registry", move || hosts::registry(registry.clone(), clock.clone()));
    let adapter = dir.join("adapter");
    let clock = stage.clock("adapter");
    sim.host("adapter", move || hosts::adapter(adapter.clone(), clock.clone()));
    let orchestrators = HOSTS.into_iter().filter(|host| host.starts_with("orch"));
    let journals = hosts::journals(dir, script.shared);
    for (index, (name, journal)) in orchestrators.zip(journals).enumerate() {
        let (shared, clock) = (script.shared, stage.clock(name));
        // The count goes on when it is back, and so it dies of a write once.
        let dies = dies(script, index, name, &stage);
        sim.host(name, move || {
            hosts::orchestrator(journal.clone(), shared, clock.clone(), dies.clone())
        });
    }
    add_gateway(&mut sim, script, dir, &stage, told);
    let found = client::Found::default();
    let play = client::play(Arc::clone(&stage), script.clone(), asked, Arc::clone(&found));
    sim.client("client", play);
    (Hand { stage, orders, asks }, sim, found)
}

/// The death of this orchestrator by a write, if its script says so.
fn dies(
    script: &Script,
    index: usize,
    host: &'static str,
    stage: &Arc<Stage>,
) -> Option<CrashAfter> {
    let death = script.death.as_ref().filter(|death| death.of == index)?;
    let stage = Arc::clone(stage);
    Some(CrashAfter::by(death.writes, move || {
        DYING.store(true, Ordering::SeqCst);
        stage.died.set(host).ok();
    }))
}

/// The gateway's host never crashes: the gateway restarts in ways of its own.
fn add_gateway(
    sim: &mut Sim<'_>,
    script: &Script,
    dir: &Path,
    stage: &Arc<Stage>,
    orders: mpsc::UnboundedReceiver<Order>,
) {
    let (dialect, data) = (script.dialect, dir.join("gateway"));
    let stage = Arc::clone(stage);
    let once = std::cell::RefCell::new(Some(orders));
    sim.host("gateway", move || {
        let (stage, data, orders) = (Arc::clone(&stage), data.clone(), once.take());
        async move {
            let Some(orders) = orders else {
                return Ended::Err("the gateway's host crashed".into());
            };
            hosts::gateway(data, dialect, orders, stage).await
        }
    });
}

// === impl Stage ===

impl Stage {
    fn clock(&self, host: &str) -> WorldClock {
        self.clocks.get(host).cloned().unwrap_or_default()
    }
}

// === impl Hand ===

impl Hand {
    fn apply(&self, sim: &mut Sim<'_>, act: &Act) {
        match act {
            Act::Cut(a, b) => sim.partition(*a, *b),
            Act::Hold(a, b) => sim.hold(*a, *b),
            Act::Mend(a, b) => mend(sim, a, b),
            Act::Crash(host) if sim.is_host_running(*host) => sim.crash(*host),
            Act::Crash(_) => {}
            Act::Bounce(host) if sim.is_host_running(*host) => {}
            Act::Bounce(host) => sim.bounce(*host),
            Act::SetClock(host, ahead_ms) => self.stage.clock(host).set(*ahead_ms),
            // Whoever should hear it hears it as long as the world goes on.
            Act::Gateway(order) => drop(self.orders.send(order.clone())),
            Act::Ask(ask) => drop(self.asks.send(ask.clone())),
        }
    }

    /// A host that has died of a write is crashed, and comes back in its time.
    fn see_to_the_dead(&self, sim: &mut Sim<'_>, script: &Script, now: Duration, back: &mut Back) {
        let (Some(host), Some(death)) = (self.stage.died.get(), &script.death) else { return };
        match *back {
            Back::Never => {
                self.apply(sim, &Act::Crash(host));
                *back = Back::At(now + death.gone);
            }
            Back::At(at) if now >= at => {
                self.apply(sim, &Act::Bounce(host));
                *back = Back::Already;
            }
            Back::At(_) | Back::Already => {}
        }
    }

    /// No more trouble: every link is whole, every host runs, and the gateway behaves.
    fn calm_down(&self, sim: &mut Sim<'_>) {
        for (index, a) in HOSTS.iter().enumerate() {
            for b in &HOSTS[index + 1..] {
                mend(sim, a, b);
            }
        }
        for host in MORTAL {
            self.apply(sim, &Act::Bounce(host));
        }
        self.apply(sim, &Act::Gateway(Order::ClearFaults));
        self.stage.phase.send_replace(Phase::Calm);
    }
}

fn mend(sim: &Sim<'_>, a: &str, b: &str) {
    sim.release(a, b);
    sim.repair(a, b);
}

/// Makes this process's randomness and clocks those of the world, and its stores take no time.
fn take_over_process(seed: u64) -> Result<Ears> {
    mad_turmoil::rand::set_rng(StdRng::seed_from_u64(!seed));
    let stores: &'static Handle = Box::leak(Box::new(store_runtime()?));
    clocks::simulate();
    salvor_runtime::database::take_no_time(
        move || (stores.enter(), clocks::Aside::step()),
        || DYING.swap(false, Ordering::SeqCst),
    );
    let ears = Ears::default();
    let filter = Targets::new().with_target(TARGET, tracing::Level::DEBUG);
    let subscriber = tracing_subscriber::registry().with(ears.clone().with_filter(filter));
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(ears)
}

/// A runtime for the stores' connections, on a thread of its own. Its clock stands still, so no wait of theirs runs out.
fn store_runtime() -> Result<Handle> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let handle = runtime.handle().clone();
    let (up, is_up) = std::sync::mpsc::channel();
    let blocking = up.clone();
    // Paused time jumps ahead when there is nothing to do, unless something blocks.
    runtime.spawn_blocking(move || {
        drop(settle_randomness());
        drop(blocking);
        loop {
            std::thread::park();
        }
    });
    std::thread::spawn(move || {
        runtime.block_on(async move {
            tokio::time::sleep(Duration::ZERO).await;
            drop(settle_randomness());
            drop(up);
            std::future::pending::<()>().await;
        });
    });
    // Nobody sends; both threads are up once nobody could any more.
    let _: Result<(), _> = is_up.recv();
    Ok(handle)
}

/// A thread draws once what its maps begin with. Done later, it would take from the world's randomness at a moment of its own.
fn settle_randomness() -> std::collections::HashMap<u8, u8> {
    std::collections::HashMap::from([(0, 0)])
}

/// In memory where the system has such a place: a simulated crash is no power loss.
fn scratch() -> Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.context("no temporary directory")
}
