//! What one call sends, kept so that it can be sent again.
//!
//! Invariant: a copy begins where the request began. Only one copy is read at a time: an older one
//! fails once a newer one was made. Deliberately absent: the decision that it may be sent again.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use tonic::Status;
use tonic::body::Body;

/// Bytes of one request that are kept: as much as a server accepts in a message. They are shared,
/// not copied.
const MOST: usize = 4 << 20;

/// The body of a request.
#[derive(Debug)]
pub(super) struct Sent(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    rest: Body,
    ended: bool,
    /// What came out of `rest` so far; none once it is too much, or is not only bytes.
    frames: Option<Vec<Bytes>>,
    size: usize,
    copies: usize,
}

impl Sent {
    pub(super) fn new(rest: Body) -> Self {
        let frames = Some(Vec::new());
        Self(Arc::new(Mutex::new(Kept { rest, ended: false, frames, size: 0, copies: 0 })))
    }

    /// The body from its start; none if it is not all there any more.
    pub(super) fn copy(&self) -> Option<Body> {
        let mut kept = lock(&self.0);
        kept.frames.as_ref()?;
        kept.copies += 1;
        Some(Body::new(Copy { kept: Arc::clone(&self.0), number: kept.copies, next: 0 }))
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        let Some(bytes) = frame.data_ref() else {
            self.frames = None;
            return;
        };
        self.size += bytes.len();
        if self.size > MOST {
            self.frames = None;
        } else if let Some(frames) = &mut self.frames {
            frames.push(bytes.clone());
        }
    }
}

struct Copy {
    kept: Arc<Mutex<Kept>>,
    number: usize,
    next: usize,
}

impl HttpBody for Copy {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let kept = &mut *lock(&this.kept);
        if kept.copies != this.number {
            return Poll::Ready(Some(Err(Status::cancelled("sent to another replica"))));
        }
        if let Some(bytes) = kept.frames.as_ref().and_then(|frames| frames.get(this.next)) {
            this.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(bytes.clone()))));
        }
        if kept.ended {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut kept.rest).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                kept.keep(frame);
                this.next += 1;
            }
            Poll::Ready(Some(Err(_))) => kept.frames = None,
            Poll::Ready(None) => kept.ended = true,
            Poll::Pending => {}
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures::StreamExt as _;
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::UnboundedReceiverStream;

    use super::*;

    type Parts = mpsc::UnboundedSender<Result<Frame<Bytes>, Status>>;

    fn streamed() -> (Parts, Sent) {
        let (parts, received) = mpsc::unbounded_channel();
        (parts, Sent::new(Body::new(StreamBody::new(UnboundedReceiverStream::new(received)))))
    }

    fn data(bytes: &'static [u8]) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(bytes))
    }

    async fn next(body: &mut Body) -> Option<Bytes> {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        frame.unwrap().into_data().ok()
    }

    #[tokio::test]
    async fn a_copy_begins_at_the_start_and_goes_on_with_what_had_not_come_yet() {
        let (parts, sent) = streamed();
        parts.send(Ok(data(b"one"))).unwrap();
        let mut first = sent.copy().unwrap();
        assert_eq!(next(&mut first).await.unwrap(), "one");
        let mut second = sent.copy().unwrap();
        parts.send(Ok(data(b"two"))).unwrap();
        assert_eq!(next(&mut second).await.unwrap(), "one");
        assert_eq!(next(&mut second).await.unwrap(), "two");
        drop(parts);
        assert_eq!(next(&mut second).await, None);
        assert!(first.frame().await.unwrap().is_err(), "an older copy takes nothing away");
        let third = http_body_util::BodyStream::new(sent.copy().unwrap());
        assert_eq!(third.count().await, 2, "the end is kept as well");
    }

    #[tokio::test]
    async fn what_is_too_large_passes_and_is_not_kept() {
        let (parts, sent) = streamed();
        let large = Bytes::from(vec![0; MOST]);
        parts.send(Ok(Frame::data(large.clone()))).unwrap();
        parts.send(Ok(data(b"more"))).unwrap();
        let mut body = sent.copy().unwrap();
        assert_eq!(next(&mut body).await.unwrap(), large);
        assert!(sent.copy().is_some());
        let mut body = sent.copy().unwrap();
        assert_eq!(next(&mut body).await.unwrap(), large);
        assert_eq!(next(&mut body).await.unwrap(), "more");
        assert!(sent.copy().is_none());
    }
}
