//! Whether effects are sent with a `request_id`.
//!
//! A gateway of 0.1.x admits a bounded number of them of one caller (1,000, kept for 24 hours) and
//! refuses every effect that brings one more. They are not needed for exactly one effect: a try is
//! looked for by its stamp or its incarnation before the next one. So a gateway that is short of them
//! gets effects without, until it may have room again.
//!
//! Deliberately absent: counting them, since others may use the same credentials; and sending the
//! refused effect again, which is for the caller, who looks first.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For how long a gateway that was short of request ids gets none. Its oldest are 24 hours old when
/// they make room; each look whether they do costs one refused try.
pub(super) const REST: Duration = Duration::from_hours(1);

/// See the module. Of one gateway.
#[derive(Debug, Default)]
pub(super) struct Ids {
    spent_until: Mutex<Option<Instant>>,
}

// === impl Ids ===

impl Ids {
    /// `asked`, or none while the gateway has no room for it.
    pub(super) fn to_send(&self, asked: &str) -> String {
        let until = *self.spent_until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.is_some_and(|until| Instant::now() < until) {
            return String::new();
        }
        asked.to_owned()
    }

    /// The gateway is out of something, and was sent an id.
    pub(super) fn are_spent(&self) {
        *self.spent_until.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Instant::now() + REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn none_is_sent_for_a_while_after_they_are_spent() {
        let ids = Ids::default();
        assert_eq!(ids.to_send("id"), "id");
        ids.are_spent();
        assert_eq!(ids.to_send("id"), "");
        tokio::time::advance(REST.saturating_sub(Duration::from_millis(1))).await;
        assert_eq!(ids.to_send("id"), "");
        tokio::time::advance(Duration::from_millis(2)).await;
        assert_eq!(ids.to_send("id"), "id");
    }
}
