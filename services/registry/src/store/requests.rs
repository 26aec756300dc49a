//! Answering a repeated call as the first time.
//!
//! Invariant: an id stands for one request. The answer is stored in the transaction of the effect it tells of, so that
//! either both are there or neither. Deliberately absent: remembering refusals, which had no effect.

use std::collections::BTreeSet;

use prost::Message;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::Txn;
use super::seen::select;
use crate::error::Error;

/// A caller's id of a request, with what the request said.
#[derive(Debug, Clone)]
pub(crate) struct RequestId {
    /// A UUID in its usual form.
    pub(crate) id: String,
    /// SHA-256 over method and content.
    pub(crate) fingerprint: Vec<u8>,
}

/// What was answered to a request.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) id: String,
    pub(super) fingerprint: Vec<u8>,
    pub(super) message: Vec<u8>,
}

/// What [`Answer`] reads; what follows are ids.
pub(super) const ANSWERS: &str = "SELECT id, fingerprint, answer FROM requests WHERE id IN";

// === impl Answer ===

impl Answer {
    pub(super) fn from_row(row: &AnyRow) -> Result<Self, Error> {
        Ok(Self { id: row.try_get(0)?, fingerprint: row.try_get(1)?, message: row.try_get(2)? })
    }
}

// === impl Txn ===

impl Txn {
    /// The first answer to `request`, if it was answered before.
    pub(super) async fn replay<M: Message + Default>(
        &mut self,
        request: Option<&RequestId>,
    ) -> Result<Option<M>, Error> {
        let Some(request) = request else { return Ok(None) };
        let Some(first) = self.answer(&request.id).await? else { return Ok(None) };
        if first.fingerprint != request.fingerprint {
            return Err(Error::RequestIdReused { id: request.id.clone() });
        }
        let answer = M::decode(first.message.as_slice());
        answer.map(Some).map_err(|_| Error::Defect("a remembered answer does not decode"))
    }

    async fn answer(&mut self, id: &str) -> Result<Option<Answer>, Error> {
        if let Ok(seen) = self.seen.answers.get(id) {
            return Ok(seen);
        }
        let found = select(self.connection().await?, ANSWERS, &BTreeSet::from([id])).await?;
        found.first().map(Answer::from_row).transpose()
    }

    /// Remembers `answer`. The oldest ones beyond the retention are forgotten with the commit.
    pub(super) fn remember<M: Message>(&mut self, request: Option<&RequestId>, answer: &M) {
        let Some(request) = request else { return };
        let answer = Answer {
            id: request.id.clone(),
            fingerprint: request.fingerprint.clone(),
            message: answer.encode_to_vec(),
        };
        self.seen.answers.put(&request.id, answer.clone());
        self.unwritten.remember(answer);
    }
}
