//! Answering a repeated call as the first time.
//!
//! Invariant: an id stands for one request. The answer is stored in the transaction of the effect it tells of, so that
//! either both are there or neither. Deliberately absent: remembering refusals, which had no effect.

use prost::Message;
use sqlx::Row;

use super::Txn;
use crate::error::Error;

/// A caller's id of a request, with what the request said.
#[derive(Debug, Clone)]
pub(crate) struct RequestId {
    /// A UUID in its usual form.
    pub(crate) id: String,
    /// SHA-256 over method and content.
    pub(crate) fingerprint: Vec<u8>,
}

// === impl Txn ===

impl Txn {
    /// The first answer to `request`, if it was answered before.
    pub(super) async fn replay<M: Message + Default>(
        &mut self,
        request: Option<&RequestId>,
    ) -> Result<Option<M>, Error> {
        let Some(request) = request else { return Ok(None) };
        let found = sqlx::query("SELECT fingerprint, answer FROM requests WHERE id = $1")
            .bind(&request.id)
            .fetch_optional(self.connection())
            .await?;
        let Some(row) = found else { return Ok(None) };
        let (fingerprint, answer): (Vec<u8>, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
        if fingerprint != request.fingerprint {
            return Err(Error::RequestIdReused { id: request.id.clone() });
        }
        let answer = M::decode(answer.as_slice());
        answer.map(Some).map_err(|_| Error::Defect("a remembered answer does not decode"))
    }

    /// Remembers `answer`, and forgets the oldest ones beyond the retention.
    pub(super) async fn remember<M: Message>(
        &mut self,
        request: Option<&RequestId>,
        answer: &M,
    ) -> Result<(), Error> {
        let Some(request) = request else { return Ok(()) };
        let insert = "INSERT INTO requests (id, fingerprint, answer) VALUES ($1, $2, $3) \
                      RETURNING sequence";
        let stored: i64 = sqlx::query_scalar(insert)
            .bind(&request.id)
            .bind(&request.fingerprint)
            .bind(answer.encode_to_vec())
            .fetch_one(self.connection())
            .await?;
        let oldest_kept = stored - i64::from(self.retention.requests);
        sqlx::query("DELETE FROM requests WHERE sequence <= $1")
            .bind(oldest_kept)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
