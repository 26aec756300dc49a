//! The replicas of one service: a connection to each, and calls that go round over those that are
//! up.
//!
//! Invariant: a call is with one replica at a time, and goes to another one only if the one before
//! surely did nothing of it. It has one deadline, however many it tries. A replica that is away
//! costs no call anything as long as another one is up: its connection is made beside the calls,
//! again and again, at growing distances.
//!
//! Round robin by hand, and not tower's `Balance` (nor tonic's `balance_list`, which is that).
//! There a connection that failed counts as ready, and fails the next call that it is given; it is
//! tried again without a pause; every replica counts as loaded alike; and nobody can tell who was
//! called. What would be left of it, for a dozen connections, is an index.
//!
//! Deliberately absent: sending again what may have been done (that is its caller's to decide);
//! trying an answer elsewhere, be it UNAVAILABLE (it may come from a service behind the replica,
//! after half of the work); asking for health. A server that drains says GOAWAY, ends what it has,
//! and its connection takes no more calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tonic::Status;
use tonic::body::Body;
use tower::{Service as _, ServiceExt as _};

use super::call::{Call, Callee};
use super::failure::{failed, is_timeout, is_untouched, overdue, root, unreachable};
use super::keeper::{Board, Keeper, Standing};
use super::line::{Line, Target};
use super::peer::Peer;
use super::sent::Sent;

/// See the module.
#[derive(Debug)]
pub(super) struct Replicas {
    all: Vec<Replica>,
    board: Board,
    next: AtomicUsize,
    /// They end with the last channel.
    _keepers: JoinSet<()>,
}

#[derive(Debug)]
struct Replica {
    peer: Peer,
    wanted: Arc<Notify>,
}

// === impl Replicas ===

impl Replicas {
    /// Starts to connect. Must be called inside a tokio runtime.
    pub(super) fn new(targets: Vec<(Target, Peer)>) -> Self {
        let standings = targets.iter().map(|_| Standing::default()).collect();
        let board: Board = Arc::new(watch::Sender::new(standings));
        let (mut all, mut keepers) = (Vec::new(), JoinSet::new());
        for (index, (target, peer)) in targets.into_iter().enumerate() {
            let wanted = Arc::new(Notify::new());
            let (address, board) = (peer.address.clone(), Arc::clone(&board));
            let keeper = Keeper { index, address, target, board, wanted: Arc::clone(&wanted) };
            keepers.spawn(keeper.keep());
            all.push(Replica { peer, wanted });
        }
        Self { all, board, next: AtomicUsize::new(0), _keepers: keepers }
    }

    /// Calls one of them. Dropping the future cancels the call.
    pub(super) async fn call(
        &self,
        request: Request<Body>,
        call: &Call,
    ) -> Result<Response<Body>, Status> {
        let mut callee = Callee::none(&call.span);
        match tokio::time::timeout(call.bound, self.try_all(request, call, &mut callee)).await {
            Ok(answered) => answered,
            Err(_) => Err(match callee.peer() {
                Some(peer) => overdue(&peer.address, &call.method, call.bound),
                None => self.unreachable(&call.method, &self.board.borrow()),
            }),
        }
    }

    async fn try_all<'a>(
        &'a self,
        request: Request<Body>,
        call: &Call,
        callee: &mut Callee<'a>,
    ) -> Result<Response<Body>, Status> {
        let (parts, body) = request.into_parts();
        let sent = Sent::new(body);
        let mut refused = None;
        // Each may end its connection under the call, by a restart, and be away at the next look.
        for _ in 0..2 * self.all.len() {
            let Some(body) = sent.copy() else { break };
            let (peer, line) = self.up(&call.method).await?;
            callee.set(Some(peer));
            let request = Request::from_parts(parts.clone(), body);
            let error = match hand_over(line.channel, request).await {
                Ok(response) => return Ok(response),
                Err(error) if is_timeout(&error) => {
                    return Err(overdue(&peer.address, &call.method, call.bound));
                }
                Err(error) if !is_untouched(&error) => {
                    return Err(failed(&peer.address, &call.method, &error));
                }
                Err(error) => error,
            };
            line.ended.cancel();
            callee.set(None);
            let why = root(&error);
            tracing::debug!(replica = peer.address, why, "the call goes elsewhere");
            refused = Some(unreachable(&peer.address, &call.method, &why));
        }
        Err(refused.unwrap_or_else(|| self.unreachable(&call.method, &self.board.borrow())))
    }

    /// One that is up, as soon as there is one. If there is none, each is tried from now on, and it
    /// fails once all have failed.
    async fn up(&self, method: &str) -> Result<(&Peer, Line), Status> {
        let mut board = self.board.subscribe();
        let before: Vec<u64> = board.borrow().iter().map(|standing| standing.begun).collect();
        let mut asked = false;
        loop {
            {
                let standings = board.borrow_and_update();
                if let Some(found) = self.choose(&standings) {
                    return Ok(found);
                }
                let mut pairs = standings.iter().zip(&before);
                if pairs.all(|(standing, before)| standing.failed > *before) {
                    return Err(self.unreachable(method, &standings));
                }
            }
            if !std::mem::replace(&mut asked, true) {
                self.all.iter().for_each(|replica| replica.wanted.notify_one());
            }
            if board.changed().await.is_err() {
                return Err(self.unreachable(method, &self.board.borrow()));
            }
        }
    }

    fn choose(&self, standings: &[Standing]) -> Option<(&Peer, Line)> {
        let lines = self.all.iter().zip(standings).filter_map(|(replica, standing)| {
            let line = standing.line.as_ref().filter(|line| !line.ended.is_cancelled())?;
            Some((&replica.peer, line))
        });
        let up: Vec<_> = lines.collect();
        let next = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(up.len())?;
        up.get(next).map(|(peer, line)| (*peer, (*line).clone()))
    }

    fn unreachable(&self, method: &str, standings: &[Standing]) -> Status {
        let addresses: Vec<_> = self.all.iter().map(|replica| &*replica.peer.address).collect();
        let whys = addresses
            .iter()
            .zip(standings)
            .map(|(address, standing)| format!("{address}: {}", standing.why));
        let whom = format!("any of {}", addresses.join(", "));
        unreachable(&whom, method, &whys.collect::<Vec<_>>().join("; "))
    }
}

async fn hand_over(
    mut channel: tonic::transport::Channel,
    request: Request<Body>,
) -> Result<Response<Body>, tonic::transport::Error> {
    channel.ready().await?.call(request).await
}
