//! What is begun for a caller is not left half done when the caller goes away.
//!
//! A server drops a call at its deadline, wherever the call stands: with a lease that nobody gives back, or while the journal's
//! commit is on its way, so that a recovery is accepted and at work nowhere.

use salvor_proto::Error;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Engine;

impl Engine {
    /// Sees `work` through, which is told when its caller has left: when this future is dropped.
    ///
    /// # Errors
    /// As `work`; INTERNAL when it was ended with the process, or by a defect.
    pub(super) async fn see_through<T, F>(
        &self,
        work: impl FnOnce(Self, CancellationToken) -> F,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let left = CancellationToken::new();
        let _stays = left.clone().drop_guard();
        let work = work(self.clone(), left);
        let (told, answer) = oneshot::channel();
        self.inner.tasks.spawn("request", move |_| async move {
            // Nobody may wait for it any more.
            let _ = told.send(work.await);
        });
        answer.await.unwrap_or_else(|_| {
            let lost =
                "the request was not seen through: salvor recoveries list tells what was begun";
            Err(Error::internal(lost))
        })
    }
}
