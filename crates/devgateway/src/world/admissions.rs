//! Request ids of the 0.1 dialect: admitted once, and a success is answered again.

use std::sync::atomic::Ordering;

use prost::Message;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::store::Admission;
use super::{World, now_ms};
use crate::refusal::{Outcome, Refusal};

/// How many a caller has, unless a test says otherwise.
pub(super) const MAX_ADMISSIONS: usize = 1000;
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

impl World {
    /// Runs `effect` at most once for this request id, and replays its success.
    ///
    /// Returns the response and whether it is a replay. A refusal frees the id again; an effect
    /// that was cut off leaves it uncertain for good.
    pub(crate) async fn admit<T: Message + Default>(
        &self,
        method: &str,
        request_id: &str,
        payload: &[u8],
        effect: impl Future<Output = Outcome<T>>,
    ) -> Outcome<(T, bool)> {
        if request_id.is_empty() {
            return Ok((effect.await?, false));
        }
        let id = Uuid::parse_str(request_id)
            .ok()
            .filter(|_| request_id.len() == 36)
            .ok_or_else(|| Refusal::invalid("request_id must be a UUID of 36 characters"))?;
        let key = id.to_string();
        let digest = hex::encode(Sha256::new_with_prefix(method).chain_update(payload).finalize());
        if let Some(response) = self.look_up_admission(&key, &digest)? {
            let bytes = hex::decode(response).map_err(std::io::Error::other)?;
            return Ok((T::decode(bytes.as_slice())?, true));
        }
        let result = effect.await;
        let mut store = self.store();
        match &result {
            Ok(response) => {
                let response = Some(hex::encode(response.encode_to_vec()));
                store.admissions.put(&key, Admission { digest, response, at_ms: now_ms() })?;
            }
            Err(_) => {
                store.admissions.remove(&key)?;
            }
        }
        Ok((result?, false))
    }

    /// The kept answer of an admitted id; or admits it.
    fn look_up_admission(&self, key: &str, digest: &str) -> Outcome<Option<String>> {
        let mut store = self.store();
        if let Some(known) = store.admissions.get(key) {
            if known.digest != digest {
                return Err(Refusal {
                    reason: Some("REQUEST_ID_PAYLOAD_MISMATCH"),
                    ..Refusal::invalid("request_id was used with another payload")
                });
            }
            if known.response.is_none() {
                return Err(Refusal {
                    reason: Some("REQUEST_OUTCOME_UNCERTAIN"),
                    ..Refusal::precondition("the outcome of this request is not known")
                });
            }
            if known.at_ms + KEPT_MS > now_ms() {
                return Ok(known.response.clone());
            }
        }
        store
            .admissions
            .remove_where(|known| known.response.is_some() && known.at_ms + KEPT_MS <= now_ms())?;
        if store.admissions.len() >= self.max_admissions.load(Ordering::Relaxed) {
            let text = "too many admitted requests";
            return Err(Refusal::new(tonic::Code::ResourceExhausted, text));
        }
        let admission = Admission { digest: digest.to_owned(), response: None, at_ms: now_ms() };
        store.admissions.put(key, admission)?;
        Ok(None)
    }
}
