//! An answer's body that records how the call ended, and ends idle streams of a draining server.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::body::Body;
use tonic::{Code, Status};

use super::{Edge, Outcome};

/// Passes `inner` through and records the status in its trailers.
pub(crate) struct RecordedBody {
    inner: Body,
    outcome: Outcome,
    drain: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    ended: bool,
}

impl RecordedBody {
    pub(crate) fn wrap(inner: Body, outcome: Outcome) -> Body {
        Self::of(inner, outcome, None)
    }

    /// As [`wrap`](Self::wrap); once `drain` is cancelled a stream that has nothing to send ends
    /// with `UNAVAILABLE`, so that an open watch does not hold up the shutdown.
    pub(crate) fn wrap_draining(inner: Body, outcome: Outcome, drain: CancellationToken) -> Body {
        Self::of(inner, outcome, Some(drain))
    }

    fn of(inner: Body, mut outcome: Outcome, drain: Option<CancellationToken>) -> Body {
        if inner.is_end_stream() {
            // Nothing more comes, so what the headers did not say is not known.
            outcome.finish(Code::Unknown);
        }
        let drain = drain.map(|drain| Box::pin(drain.cancelled_owned()));
        Body::new(Self { inner, outcome, drain, ended: false })
    }

    fn end_drained(&mut self) -> Frame<Bytes> {
        self.ended = true;
        self.outcome.finish(Code::Unavailable);
        let mut trailers = HeaderMap::new();
        let status = Edge::Draining.status("the server is shutting down; open the stream again");
        if status.add_header(&mut trailers).is_err() {
            trailers.insert("grpc-status", http::HeaderValue::from_static("14"));
        }
        Frame::trailers(trailers)
    }
}

impl HttpBody for RecordedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let polled = {
            let _entered = this.outcome.span().clone().entered();
            Pin::new(&mut this.inner).poll_frame(context)
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.outcome.observe(trailers);
                }
            }
            Poll::Ready(Some(Err(status))) => this.outcome.finish(status.code()),
            // An end without trailers breaks the protocol: the code of the call is not known.
            Poll::Ready(None) => this.outcome.finish(Code::Unknown),
            Poll::Pending => {
                let drain = this.drain.as_mut();
                if drain.is_some_and(|drain| drain.as_mut().poll(context).is_ready()) {
                    return Poll::Ready(Some(Ok(this.end_drained())));
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        // An answer of headers alone must end with them: some clients take anything else for a
        // stream without trailers.
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
